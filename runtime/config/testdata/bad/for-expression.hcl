handler "echo" {
  args = [for x in ["a", "b"] : x]
}
