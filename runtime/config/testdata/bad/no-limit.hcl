handler "echo" {}

queue "a" { limits = ["github"] }
