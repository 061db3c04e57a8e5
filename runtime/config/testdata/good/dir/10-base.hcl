namespace = "acme"

handler "echo" {}

queue "first" { limits = ["shared"] }
