handler "echo" {}

queue "no-key" {
  exception "acme" { rate = "50/1s" }
  exception "other" { weight = 0 }
}

queue "a" {
  key {
    rate        = "5/1s"
    concurrency = 2
    weight      = 1001

    exception "inside" {
      weight = 4
    }
  }
  key {}
  exception "inside" {
    rate = "50/1s"
  }
  exception {}
}

queue "b" {
  key {
    rate        = ["5/1s", "5/1s"]
    concurrency = 0
    burst       = 5

    exception "acme" {
      rates = "5/1s"
    }
  }
}

queue "c" {
  key {
    rate = "5/1s"
  }
  exception "nothing" {}
  exception "typo" {
    rats = "5/1s"
  }
  exception "same" {
    rate        = "5/1000ms:1"
    concurrency = 0
    weight      = 1
  }
  exception "" {
    rate = "unlimited"
  }
  exception "tab\there" {
    rate = "unlimited"
  }
  exception "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" {
    rate = "unlimited"
  }
  exception "list" {
    rate = ["unlimited"]
  }
  exception "empty" {
    rate = []
  }
  exception "range" {
    rate        = "unlimitd"
    concurrency = 1000001
    weight      = 0
  }
}

queue "d" {
  key = { rate = "5/1s" }
}
