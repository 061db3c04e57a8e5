handler "echo" {
  args = ["a"
}
redis { url = "redis://:hunter2@127.0.0.1" x }
