handler "echo" {}

limit "github" {
  rate     = "5000/1h:50"
  debt_max = 51
}

limit "Git Hub" {
  rate = "0/1s"
}

limit "github" {
  concurrency = 0
}

limit "nothing" {}

limit "null" {
  rate     = null
  debt_max = 0
}

limit "places" {
  concurrency = 1000001
  debt_max    = 5
}

limit "key" {
  rates = "5/1s"
}

limit "mail" {
  rate        = ["10/1s:20", "300/15m:5"]
  concurrency = 1.5
  debt_max    = 6
}

queue "a" {
  limits      = ["githb", "mail", "mail", 5, "nothing", null]
  concurrency = 0
  debt_max    = 1
}

queue "b" {
  limits   = "github"
  rate     = "1/1x:5"
  debt_max = 1000
}

queue "c" {
  limits = ["github", "mail", "places", "nothing", "null", "key", "l7", "l8", "l9", "l10"]
}

limit "l7" { rate = "1/1s" }
limit "l8" { rate = "1/1s" }
limit "l9" { rate = "1/1s" }
limit "l10" {
  rate     = "1/1s"
  debt_max = -1
}
