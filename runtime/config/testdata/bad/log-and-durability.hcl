durability = "paranoid"

log {
  level  = "warning"
  format = "JSON"
}
