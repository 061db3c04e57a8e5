# Service A. It shares Redis with service B, and nothing else.
namespace = "service-a"

handler "echo" {}

queue "calls" {
  rate = "300/15m"
}
