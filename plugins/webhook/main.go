// Command webhook is a handler plugin that delivers tasks over HTTP: it posts
// each task's payload to the URL of its config.
package main

import "github.com/throttlerd/throttlerd/pluginapi"

func main() { pluginapi.Serve(&webhook{}) }
