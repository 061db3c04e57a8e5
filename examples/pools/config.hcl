# A queue belongs to one pool; a worker serves the pools it was started with.
namespace = "pools-example"

handler "echo" {}

# The program's own tasks. No pool is pool "default"; no rate is no limit.
queue "thumbnails" {}

# Calls of other people's APIs, for workers of their own.
queue "crm" {
  pool = "api"
  rate = "300/15m:20"
}

queue "maps" {
  pool = "api"
  rate = "10/1s"
}
