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
}

queue "turns" {
  rate     = null
  limits   = []
  debt_max = null
}
