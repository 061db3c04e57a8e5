redis { url = "redis://:hunter2@127.0.0.1:99999" }

handler "echo" {
  env = { API_TOKEN = "hunter2", "password" = "hunter2", N = 1 }
  config {
    secret = "hunter2" + 1
    url    = "https://u:hunter2@example.com/" + 1
  }
}

redis { url = "redis://127.0.0.1:6379?password=hunter2" }
