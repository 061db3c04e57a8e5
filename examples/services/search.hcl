# The other one: throttlerd run -c search.hcl --pool search
namespace = "company"
owner     = "search"

handler "echo" {}

queue "crawl" {
  pool = "search"
  rate = "50/1s"
}
