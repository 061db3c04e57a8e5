concurrency = 0
max_payload = "64MiB"

handler "echo" {
  concurrency = 1.5
}

queue "a" {
  history = -1
  retry {
    max_attempts = 1e99
    jitter       = 1.5
  }
}
