// Command echo is the smallest real handler plugin: it returns each task's
// payload. Its config, and for one task its payload, can script it to sleep, to
// fail, to throttle, to panic, to exit, and to keep a journal; so it serves to
// try out a configuration and to test throttlerd itself.
package main

import "github.com/throttlerd/throttlerd/pluginapi"

func main() { pluginapi.Serve(&echo{}) }
