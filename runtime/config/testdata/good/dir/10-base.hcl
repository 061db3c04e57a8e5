namespace = "acme"

handler "echo" {}

queue "first" {}
