handler "echo" {
  plugin = "../bin/echo"
  sha256 = "abc"
  env    = { "A=B" = "c" }
  config {
    headers {
      Accept = "*/*"
    }
  }
  config {}
}
