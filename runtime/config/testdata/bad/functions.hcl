namespace  = env("NOT_SET")
owner      = uper("x")
plugin_dir = file("no-such-file")
durability = format("%99999999s", "x")
