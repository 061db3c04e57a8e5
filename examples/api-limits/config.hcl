# One queue for each endpoint, with the limit that its provider publishes.
namespace = "api-limits-example"

handler "echo" {}

queue "posts" {
  rate = "300/15m" # one each 3 s; "300/15m:20" would let 20 start at once after a pause
}

queue "issues" {
  rate = "5000/1h" # one each 720 ms
}

queue "messages" {
  rate = "1/1s"
}
