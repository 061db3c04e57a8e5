# A handler plugin in JavaScript.
namespace  = "node-plugin-example"
plugin_dir = "." # relative to this file

handler "node" {
  plugin = "plugin.js"
  env    = { PATH = env("PATH") } # where the first line of plugin.js finds node
  mtls   = false                  # Node makes no certificates
}

queue "chores" {
  rate = "20/1s:10"
}
