package pluginapi_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
)

// A whole plugin: everything else in main is up to its author.
func ExampleServe() {
	hello := func(_ context.Context, t *pluginapi.Task) ([]byte, error) {
		if len(t.Payload) == 0 {
			return nil, pluginapi.Permanent(errors.New("empty payload")) // no retry can help
		}
		return append([]byte("hello, "), t.Payload...), nil
	}
	main := func() { pluginapi.Serve(pluginapi.HandlerFunc(hello)) }
	_ = main
}

// An error keeps its outcome however often it is wrapped.
func ExampleThrottled() {
	upstream := pluginapi.Throttled(3*time.Second, errors.New("429 Too Many Requests"))
	call := pluginapi.HandlerFunc(func(context.Context, *pluginapi.Task) ([]byte, error) {
		return nil, fmt.Errorf("call upstream: %w", upstream)
	})
	r := pluginapi.Execute(context.Background(), call, &pluginapi.Task{})
	fmt.Println(r.Outcome, r.Delay, r.Err)
	// Output: throttled 3s call upstream: 429 Too Many Requests
}

// Settings come from the handler's config block; a mistake is shown at its line.
func ExampleConfig_Decode() {
	config, err := pluginapi.NewConfig([]byte(`{"url": "https://hooks.example.com", "timeuot": "5s"}`))
	if err != nil {
		panic(err)
	}
	var settings struct {
		URL     string        `hcl:"url"`
		Timeout time.Duration `hcl:"timeout,optional"`
	}
	fmt.Println(config.Decode(&settings))
	// Output: attribute "timeuot": unknown attribute; did you mean "timeout"?
}
