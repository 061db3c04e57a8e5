handler "smtp" {}
handler "webhook" {}

queue "a" {}

queue "b" {
  handler = webhook
}

queue "c" {
  handler = 7
}
