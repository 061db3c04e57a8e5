queue "second" {}
