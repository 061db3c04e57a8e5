# A batch that takes hours, at a rate that lets it run in seconds.
namespace = "batch-example"

handler "echo" {}

queue "items" {
  rate = "1000/1s"
  # rate = "1000/6h" # the real one: one each 21.6 s, 5,000 items in 30 hours

  history = 100 # ended tasks that are kept; the counts go on without them
}
