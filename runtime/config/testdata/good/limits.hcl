handler "echo" {}

limit "github" {
  rate        = ["5000/1h:50", "100/1m:20"]
  concurrency = "20"
  debt_max    = 20
}

limit "places" { concurrency = 1000000 }
limit "mail" { rate = 1 == 1 ? ["10/1s", "300/15m:20"] : ["1/1s"] }

queue "calls" {
  rate        = ["10/60s", "300/15m:20"]
  limits      = ["mail", "github"]
  concurrency = 8
  debt_max    = 1

  key {
    rate        = "5/1s"
    concurrency = 2
    weight      = 3

    exception "acme" {
      rate   = ["50/1s", "1000/1h"]
      weight = 1000
    }
    exception free {
      rate        = "unlimited"
      concurrency = 0
    }
  }
  exception "Ümläut, spaces: and 100% \"more\"" { weight = 4 }
}

queue "turns" {
  rate     = null
  limits   = []
  debt_max = null
  key {}
}
