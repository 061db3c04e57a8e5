owner = "Team A"

handler "echo" {}
handler "echo" {}

queue "" {
  handler = "echo"
}

queue "emails" {
  handler = "echo"
  pool    = "-fast"
}

queue "emails" {
  handler = "echo"
}

queue "Bad Name" "x" {}

log {}
log {}
