# Service B. Its queue has the name of A's and is another queue.
namespace = "service-b"

handler "echo" {}

queue "calls" {
  rate = "5000/1h"
}
