lease = "10s"
lease = "20s"

queue "a" {
  handler = "x"
}
