lease         = "10"
lookahead     = "2s"
drain_timeout = "soon"
max_payload   = "262144"

handler "echo" {}

queue "a" {
  timeout = "-5s"
  retry {
    min = "1h"
    max = "1m"
  }
}

queue "b" {
  timeout = "31d"
  retry {
    max = "500ms"
  }
}
