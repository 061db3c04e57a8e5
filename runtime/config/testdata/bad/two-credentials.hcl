redis {
  url           = "redis://me:hunter2@127.0.0.1"
  username      = "you"
  password_file = "../password"
}
