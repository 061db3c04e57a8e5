package scheduler

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/tests/redistest"
)

// redisCPU is what the server has used so far.
func redisCPU(b *testing.B, c *Client) time.Duration {
	info, err := c.rdb.Info(context.Background(), "cpu").Result()
	if err != nil {
		b.Fatal(err)
	}
	var sum float64
	for _, f := range []string{"used_cpu_sys", "used_cpu_user"} {
		s, err := strconv.ParseFloat(strings.TrimSpace(infoField(info, f)), 64)
		if err != nil {
			b.Fatal(err)
		}
		sum += s
	}
	return time.Duration(sum * float64(time.Second))
}

// BenchmarkSubmit submits one task a call, by one goroutine.
func BenchmarkSubmit(b *testing.B) {
	ctx := context.Background()
	rdb := redistest.Start(b).Client()
	defer rdb.Close()
	c, err := New(rdb, Options{Namespace: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := c.CreateQueue(ctx, "q", DefaultQueue("echo")); err != nil {
		b.Fatal(err)
	}
	request := SubmitRequest{Queue: "q", Payload: []byte(strings.Repeat("x", 100))}
	for b.Loop() {
		if _, err := c.Submit(ctx, request); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkTask takes tasks through submit, claim and settle, 32 a call, and tells what each
// costs the redis-server per task, by kind of queue.
func BenchmarkTask(b *testing.B) {
	fast := ratelimit.Rates{{N: 1e9, Period: time.Second, Burst: 1e6}}
	for _, kind := range []struct {
		name    string
		queues  int
		limits  int
		request SubmitRequest
		change  func(*QueueSpec)
	}{
		{name: "plain", queues: 1},
		{name: "rate", queues: 1, change: func(s *QueueSpec) { s.Rates = fast }},
		{name: "limit", queues: 1, limits: 1},
		{name: "limit-100-queues", queues: 100, limits: 1},
		{name: "three-limits-keys-cost", queues: 1, limits: 3, request: SubmitRequest{Cost: 2}, change: func(s *QueueSpec) {
			s.Rates, s.Key = fast, &KeySpec{Rates: fast, Concurrency: 1_000_000, Weight: 1}
		}},
	} {
		b.Run(kind.name, func(b *testing.B) {
			ctx := context.Background()
			rdb := redistest.Start(b).Client()
			defer rdb.Close()
			c, err := New(rdb, Options{Namespace: "bench"})
			if err != nil {
				b.Fatal(err)
			}
			spec := DefaultQueue("echo")
			for i := range kind.limits {
				name := fmt.Sprint("limit", i)
				if _, err := c.SetLimit(ctx, name, LimitChange{Rates: &fast}); err != nil {
					b.Fatal(err)
				}
				spec.Limits = append(spec.Limits, name)
			}
			if kind.change != nil {
				kind.change(&spec)
			}
			for i := range kind.queues {
				if _, err := c.CreateQueue(ctx, fmt.Sprint("q", i), spec); err != nil {
					b.Fatal(err)
				}
			}
			s, err := c.Register(ctx, Worker{ID: "w", Pools: []string{"default"}, Indexes: []string{"default:echo"}, Lease: time.Hour})
			if err != nil {
				b.Fatal(err)
			}
			tasks := make([]SubmitRequest, 32)
			for i := range tasks {
				tasks[i] = kind.request
				tasks[i].Payload = []byte(strings.Repeat("x", 100))
				if spec.Key != nil {
					tasks[i].Key = fmt.Sprint("key", i)
				}
			}
			var submit, claim, settled time.Duration
			calls := (b.N + 31) / 32
			b.ResetTimer()
			start := redisCPU(b, c)
			for i := range calls {
				if _, err := c.SubmitMany(ctx, fmt.Sprint("q", i%kind.queues), tasks); err != nil {
					b.Fatal(err)
				}
			}
			submit = redisCPU(b, c) - start
			start = redisCPU(b, c)
			var out [][]Outcome
			for n := 0; n < calls*32; {
				g, _, _, err := s.Exchange(ctx, nil, &Claim{Slots: []Slots{{"default:echo", 32}}, Lookahead: 50 * time.Millisecond})
				if err != nil {
					b.Fatal(err)
				}
				list := make([]Outcome, len(g.Grants))
				for i, x := range g.Grants {
					list[i] = Outcome{Task: x.Internal, Fence: x.Fence, Kind: Done}
				}
				n += len(list)
				out = append(out, list)
			}
			claim = redisCPU(b, c) - start
			start = redisCPU(b, c)
			for _, list := range out {
				if _, _, err, _ := s.Exchange(ctx, list, nil); err != nil {
					b.Fatal(err)
				}
			}
			settled = redisCPU(b, c) - start
			per := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 / float64(calls*32) }
			b.ReportMetric(per(submit), "submit-µs/task")
			b.ReportMetric(per(claim), "claim-µs/task")
			b.ReportMetric(per(settled), "settle-µs/task")
		})
	}
}
