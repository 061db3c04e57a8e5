redis {
  url = "redis://127.0.0.1"
  sentinel {
    addresses = ["a"]
  }
  cluster {
    addresses = ["a:1", "b:x", "c:70000"]
  }
  cluster {
  }
}
