namespace   = 5
concurrency = "many"
lookahead   = 50
owner       = true

handler "echo" {
  args = ["--fast", 3]
  env  = { DEBUG = true }
  mtls = "perhaps"
}

queue "a" {
  rate    = 10
  timeout = null
  history = [1]
}
