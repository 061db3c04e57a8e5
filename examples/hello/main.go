package main

import (
	"context"

	"github.com/throttlerd/throttlerd/pluginapi"
)

func main() { pluginapi.Serve(pluginapi.HandlerFunc(hello)) }

func hello(ctx context.Context, t *pluginapi.Task) ([]byte, error) {
	t.Log.Info("hello", "bytes", len(t.Payload))
	return append([]byte("hello, "), t.Payload...), nil
}
