handler "echo" {}

queue "a" { rate = "10" }
queue "b" { rate = "0/1s" }
queue "c" { rate = [] }
queue "d" { rate = ["10/1s", "5/400d", "0/1m"] }
queue "e" { rate = { n = 10 } }
queue "f" { rate = ["10/60s:5", "300/15m", "10/1m:5"] }
queue "g" { rate = ["1/1s", "2/1s", "3/1s", "4/1s", "5/1s", "6/1s", "7/1s", "8/1s", "9/1s", "10/1s"] }
queue "h" { rate = "10/1s, 300/15m:20" }
queue "i" { rate = "unlimited" }
queue "j" { rate = ["10/1s", null, 5] }
queue "k" { rate = env("FAST", "") == "" ? ["10/1s", "10/1s"] : ["1/1s"] }
