queue "a" {}
