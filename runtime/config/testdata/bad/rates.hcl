handler "echo" {}

queue "a" { rate = "10" }
queue "b" { rate = "0/1s" }
queue "c" { rate = [] }
queue "d" { rate = ["10/1s", "5/400d"] }
queue "e" { rate = { n = 10 } }
