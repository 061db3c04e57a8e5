handlr "echo" {
}

redis {
  adress = "redis://127.0.0.1:6379/0"
  tls "x" {
  }
}
