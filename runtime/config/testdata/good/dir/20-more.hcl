queue "second" {}

limit "shared" { rate = "1/1s" }
