redis {
  url = "redis://127.0.0.1"
  sentinel {
    master = "m"
  }
  cluster {
    addresses = ["a:1"]
  }
}

limit "github" {
  rate = "5000/1h:50"
}

handler "echo" {}

queue "a" {
  rate         = ["10/1s", "300/15m"]
  limits       = ["github"]
  concurrency  = 8
}
