# A handler of your own, which takes tasks of several types from one queue.
namespace  = "custom-handler-example"
plugin_dir = "plugins" # relative to this file

handler "notify" {
  plugin = "custom-handler" # the binary plugins/custom-handler
  config { from = "shop@example.com" }
}

queue "notifications" {
  rate = "20/1s:10"
  retry { max_attempts = 3 }
}
