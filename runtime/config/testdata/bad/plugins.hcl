plugin_dir = "../plugins"

handler "webhok" {}

handler "echo" {
  plugin = "not-executable"
}

handler "dir" {}

queue "a" {
  handler = "echo"
}
