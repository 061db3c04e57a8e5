# One of two services in one namespace. Its owner guards its queues; its pool keeps its
# tasks on its own workers: throttlerd run -c billing.hcl --pool billing
namespace = "company"
owner     = "billing"

handler "echo" {}

queue "invoices" {
  pool = "billing"
  rate = "10/1s:5"
}
