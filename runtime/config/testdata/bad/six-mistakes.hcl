namespace = "Acme"
lease     = "10"

handler "deploy_hook" {
  plugin      = "webhook"
  concurency  = 32
  config { url = "https://hooks.example.com/deploy" }
}

queue "deploys" {
  handler = "deploy_hok"
  rate    = "10/1x"
  retry { max_attempts = 0 }
}
