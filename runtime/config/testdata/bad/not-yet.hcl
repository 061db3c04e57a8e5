redis {
  url = "redis://127.0.0.1"
  sentinel {
    master = "m"
  }
  cluster {
    addresses = ["a:1"]
  }
}
