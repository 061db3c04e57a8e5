//go:build bench

package bench

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/scheduler"
)

func TestSubmitOneByOne(t *testing.T) {
	r := newRig(t, `handler "echo" {}`, 0)
	r.queue("q", "1/1h")
	const n = 20_000
	payload := fmt.Appendf(nil, "%0*d", payloadSize, 1)
	start := time.Now()
	for range n {
		if _, err := r.client.Submit(context.Background(), scheduler.SubmitRequest{Queue: "q", Payload: payload}); err != nil {
			t.Fatal(err)
		}
	}
	ours, asynq := n/time.Since(start).Seconds(), peer(t, "asynq-submit", n, 1).PerSecond
	bar("submit, one goroutine, one task a call", fmt.Sprintf("%.0f/s", ours), fmt.Sprintf("asynq %.0f/s", asynq), times(ours, asynq), "≥ 1 ×", ours >= asynq)
}

func TestSubmitInBatches(t *testing.T) {
	r := newRig(t, `handler "echo" {}`, 0)
	r.queue("q", "1/1h")
	const n = 400_000
	tasks := make([]scheduler.SubmitRequest, n)
	for i := range tasks {
		tasks[i].Payload = fmt.Appendf(nil, "%0*d", payloadSize, i)
	}
	start := time.Now()
	if _, err := r.client.SubmitMany(context.Background(), "q", tasks); err != nil {
		t.Fatal(err)
	}
	ours, asynq := n/time.Since(start).Seconds(), peer(t, "asynq-submit", 60_000, 64).PerSecond
	bullmq := bull(t, "bulk", 60_000, 1).PerSecond
	bar("submit in batches, one goroutine", fmt.Sprintf("%.0f/s", ours), fmt.Sprintf("asynq, 64 goroutines, %.0f/s", asynq), times(ours, asynq), "≥ 8 ×", ours >= 8*asynq)
	note("BullMQ, in bulk", "%.0f/s, %s", bullmq, times(ours, bullmq))
}

func TestBareDecisions(t *testing.T) {
	r := newRig(t, `handler "echo" {}`, 0)
	limiter, err := ratelimit.NewLimiter(r.rdb, ratelimit.Options{Namespace: "bench"})
	if err != nil {
		t.Fatal(err)
	}
	rates := ratelimit.Rates{{N: 1_000_000, Period: time.Second, Burst: 1_000_000}}
	if _, err := r.client.SetLimit(context.Background(), "api", scheduler.LimitChange{Rates: &rates}); err != nil {
		t.Fatal(err)
	}
	const n, width = 200_000, 64
	ours, other := 0.0, 0.0
	for range 3 { // by turns, the best of each
		var wg sync.WaitGroup
		start := time.Now()
		for range width {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for range n / width {
					if _, err := limiter.Take(context.Background(), "api", 1); err != nil {
						t.Error(err)
						return
					}
				}
			}()
		}
		wg.Wait()
		ours = max(ours, n/time.Since(start).Seconds())
		other = max(other, peer(t, "redis_rate", n, width).PerSecond)
	}
	throttled, bare := peer(t, "throttled", 20_000, width), peer(t, "evalsha", n, width).PerSecond
	bar("bare limiter decisions, 64 goroutines", fmt.Sprintf("%.0f/s", ours), fmt.Sprintf("redis_rate %.0f/s", other), times(ours, other), "≥ 1.5 ×", ours >= 1.5*other)
	note("throttled on one key", "%.0f/s, %d of 20,000 failed", throttled.PerSecond, throttled.Errors)
	note("a script that does nothing, 64 goroutines, one a round trip", "%.0f/s", bare)
	note("one byte there and back over a unix socket", "%.0f/s", peer(t, "pingpong").PerSecond)
}
