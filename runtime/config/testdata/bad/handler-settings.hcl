handler "echo" {
  plugin = "../bin/echo"
  sha256 = "abc"
  env    = { "A=B" = "c" }
  user   = "nobody:nogroup"

  instances   = 0
  max_crashes = 0
  memory_max  = "1MiB"
  config {
    headers {
      Accept = "*/*"
    }
  }
  config {}
}
