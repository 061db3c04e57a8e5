redis {
  url           = "redis://me:hunter2@127.0.0.1:6379/zero"
  username      = 5
  password_file = "no-such-file"
  tls {
    cert_file = "no-such-cert"
  }
}
