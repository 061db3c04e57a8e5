package pluginapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
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
	r := pluginapi.Execute(context.Background(), call, &pluginapi.Task{}, nil)
	fmt.Println(r.Outcome, r.Delay, r.Err)
	// Output: throttled 3s call upstream: 429 Too Many Requests
}

// The reply names what has run out; only that limit stands still.
func ExampleThrottledLimit() {
	call := pluginapi.HandlerFunc(func(context.Context, *pluginapi.Task) ([]byte, error) {
		return nil, pluginapi.ThrottledLimit("github", time.Minute, errors.New("403 secondary rate limit"))
	})
	r := pluginapi.Execute(context.Background(), call, &pluginapi.Task{}, nil)
	fmt.Println(r.Outcome, r.Limit, r.Delay)
	// Output: throttled github 1m0s
}

// The task was charged an estimate; the reply tells what the call cost, and what is left.
func ExampleTask_ActualCost() {
	const used, left = 1374, 88_626
	reset := time.Now().Add(time.Minute)
	call := pluginapi.HandlerFunc(func(_ context.Context, t *pluginapi.Task) ([]byte, error) {
		t.ActualCost("openai", used)
		t.Report(pluginapi.Report{Limit: "openai", Remaining: left, ResetAt: reset})
		return []byte("an answer"), nil
	})
	r := pluginapi.Execute(context.Background(), call, &pluginapi.Task{}, nil)
	fmt.Println(r.Outcome, r.Actual, r.Reports[0].Remaining)
	// Output: done map[openai:1374] 88626
}

// Replies tell what is left, also those of calls that fail.
func ExampleTask_Report() {
	header := http.Header{"X-Ratelimit-Remaining": {"17"}, "X-Ratelimit-Reset": {"1893456000"}}
	call := pluginapi.HandlerFunc(func(_ context.Context, t *pluginapi.Task) ([]byte, error) {
		left, _ := strconv.ParseInt(header.Get("X-RateLimit-Remaining"), 10, 64)
		reset, _ := strconv.ParseInt(header.Get("X-RateLimit-Reset"), 10, 64)
		t.Report(pluginapi.Report{Limit: "github", Remaining: left, ResetAt: time.Unix(reset, 0)})
		return nil, errors.New("502 Bad Gateway")
	})
	r := pluginapi.Execute(context.Background(), call, &pluginapi.Task{}, nil)
	fmt.Println(r.Outcome, r.Reports[0].Limit, r.Reports[0].Remaining, r.Reports[0].ResetAt.UTC())
	// Output: failed github 17 2030-01-01 00:00:00 +0000 UTC
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
