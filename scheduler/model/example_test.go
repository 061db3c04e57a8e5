package model_test

import (
	"fmt"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/scheduler/model"
)

// Two queues share a limit of 10 a second, of which one allows itself 2 a second.
func ExampleWorld_Claim() {
	rate := func(n int64) model.Spec {
		return model.Spec{Rates: ratelimit.Rates{{N: n, Period: time.Second, Burst: 1}}}
	}
	var w model.World
	now := int64(1_000_000) // µs
	w.SetLimit(now, "github", rate(10), 0)
	w.SetQueue(now, "deploys", model.QueueSpec{Spec: rate(2), Limits: []string{"github"}}, 0)
	w.SetQueue(now, "issues", model.QueueSpec{Limits: []string{"github"}}, 0)
	for range 3 {
		w.Submit(now, "deploys", model.Task{})
		w.Submit(now, "issues", model.Task{})
	}
	for now < ratelimit.Never {
		for _, s := range w.Claim(now, 50_000, 8) {
			fmt.Printf("%.1f s %s\n", float64(s.At)/1e6, s.Queue)
		}
		now = w.Next(now)
	}
	// Output:
	// 1.0 s deploys
	// 1.1 s issues
	// 1.2 s issues
	// 1.3 s issues
	// 1.5 s deploys
	// 2.0 s deploys
}
