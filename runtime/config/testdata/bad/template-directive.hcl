namespace = "a%{ if true }b%{ endif }"
