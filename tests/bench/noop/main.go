// Command noop is a handler plugin that does nothing.
package main

import (
	"context"

	"github.com/throttlerd/throttlerd/pluginapi"
)

func main() {
	pluginapi.Serve(pluginapi.HandlerFunc(func(context.Context, *pluginapi.Task) ([]byte, error) { return nil, nil }))
}
