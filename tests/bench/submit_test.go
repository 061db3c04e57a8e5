//go:build bench

package bench

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/scheduler"
)

func TestSubmitOneByOne(t *testing.T) {
	r := newRig(t, `handler "echo" {}`, 0)
	r.queue("q", "")
	const n = 20_000
	payload := fmt.Appendf(nil, "%0*d", payloadSize, 1)
	ours, asynq := 0.0, 0.0
	for range rounds {
		start := time.Now()
		for range n {
			if _, err := r.client.Submit(context.Background(), scheduler.SubmitRequest{Queue: "q", Payload: payload}); err != nil {
				t.Fatal(err)
			}
		}
		ours = max(ours, n/time.Since(start).Seconds())
		asynq = max(asynq, peer(t, "asynq-submit", n, 1).PerSecond)
	}
	bar("submit, one goroutine, one task a call", fmt.Sprintf("%.0f/s", ours), fmt.Sprintf("asynq %.0f/s", asynq), times(ours, asynq), "≥ 1 ×", ours >= asynq)
}

// TestRoundTripByScriptTime measures how many calls a second one goroutine makes of scripts
// that only count: how a round trip grows with the time that Redis takes, where the caller
// sleeps until the answer comes, and where it looks for it as a client of the scheduler does.
func TestRoundTripByScriptTime(t *testing.T) {
	r := newRig(t, `handler "echo" {}`, 0)
	sleeper := r.srv.Client()
	defer sleeper.Close()
	calls := "one goroutine that calls a script which only counts, by the script's time in Redis"
	note(calls, "%s", roundTrips(t, r.rdb))
	note("the same, asleep until the answer comes", "%s", roundTrips(t, sleeper))
}

func roundTrips(t *testing.T, rdb redis.UniversalClient) string {
	t.Helper()
	ctx := context.Background()
	var words []string
	for _, loops := range []int{0, 400, 800, 1200, 1600, 2000, 3000} {
		s := redis.NewScript(fmt.Sprintf("local x = 0 for i = 1, %d do x = x + i end return x", loops))
		call := func() {
			if err := s.Run(ctx, rdb, []string{"k"}).Err(); err != nil {
				t.Fatal(err)
			}
		}
		call()
		const n = 10_000
		rdb.ConfigResetStat(ctx)
		start := time.Now()
		for range n {
			call()
		}
		took := time.Since(start)
		_, stat, _ := strings.Cut(rdb.Info(ctx, "commandstats").Val(), "cmdstat_evalsha:")
		_, stat, _ = strings.Cut(stat, "usec_per_call=")
		us, _, _ := strings.Cut(stat, ",")
		words = append(words, fmt.Sprintf("%s µs: %.0f/s", us, n/took.Seconds()))
	}
	return strings.Join(words, ", ")
}

func TestSubmitInBatches(t *testing.T) {
	const n, others = 400_000, 60_000
	tasks := make([]scheduler.SubmitRequest, n)
	for i := range tasks {
		tasks[i].Payload = fmt.Appendf(nil, "%0*d", payloadSize, i)
	}
	one, bullmq := 0.0, 0.0
	var ours, bare, asynq widest
	for range rounds {
		for _, width := range []int{1, 4, 64} {
			v := submitBatches(t, tasks, width)
			ours.better(v, width)
			if width == 1 {
				one = max(one, v)
			}
			bare.better(bareWrites(t, tasks, width), width)
		}
		for _, width := range []int{10, 64, 256} {
			asynq.better(peer(t, "asynq-submit", others, width).PerSecond, width)
		}
		bullmq = max(bullmq, bull(t, "bulk", others, 1).PerSecond)
	}
	bar(fmt.Sprintf("submit of %d tasks in batches", n), ours.String(), fmt.Sprintf("asynq %s, %d one by one", asynq, others), times(ours.perSecond, asynq.perSecond), "≥ 8 ×", ours.perSecond >= 8*asynq.perSecond)
	note("the same by one goroutine", "%.0f/s, %s asynq", one, times(one, asynq.perSecond))
	note("the same payloads written by bare HSET and RPUSH, 512 a round trip, no script", "%s, %s asynq", bare, times(bare.perSecond, asynq.perSecond))
	note(fmt.Sprintf("BullMQ, %d in bulk", others), "%.0f/s; one goroutine is %s as fast", bullmq, times(one, bullmq))
}

// widest is the best of runs with different numbers of goroutines.
type widest struct {
	perSecond float64
	width     int
}

func (w widest) String() string { return fmt.Sprintf("%.0f/s (%d goroutines)", w.perSecond, w.width) }

func (w *widest) better(perSecond float64, width int) {
	if perSecond > w.perSecond {
		w.perSecond, w.width = perSecond, width
	}
}

// perSecond runs f by many goroutines, each with its part of the tasks.
func perSecond(t *testing.T, tasks []scheduler.SubmitRequest, width int, f func([]scheduler.SubmitRequest) error) float64 {
	t.Helper()
	var wg sync.WaitGroup
	start := time.Now()
	for k := range width {
		wg.Go(func() {
			if err := f(tasks[k*len(tasks)/width : (k+1)*len(tasks)/width]); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	return float64(len(tasks)) / time.Since(start).Seconds()
}

// submitBatches is how many tasks a second are submitted, into a queue of a server of its own.
func submitBatches(t *testing.T, tasks []scheduler.SubmitRequest, width int) float64 {
	t.Helper()
	r := newRig(t, `handler "echo" {}`, 0)
	r.queue("q", "1/1h")
	return perSecond(t, tasks, width, func(part []scheduler.SubmitRequest) error {
		_, err := r.client.SubmitMany(context.Background(), "q", part)
		return err
	})
}

// bareWrites is how many payloads a second go into a hash, and their ids into a list.
func bareWrites(t *testing.T, tasks []scheduler.SubmitRequest, width int) float64 {
	t.Helper()
	const call = 512
	ctx, rdb := context.Background(), newRig(t, "", 0).rdb
	var last atomic.Int64
	return perSecond(t, tasks, width, func(part []scheduler.SubmitRequest) error {
		for i := 0; i < len(part); i += call {
			var fields, ids []any
			for k := i; k < min(i+call, len(part)); k++ {
				id := fmt.Sprintf("%013x-1", 1<<50+last.Add(1))
				fields, ids = append(fields, id, part[k].Payload), append(ids, id)
			}
			_, err := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
				p.HSet(ctx, "tasks", fields...)
				p.RPush(ctx, "wait", ids...)
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
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
	for range rounds {
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
	const few = 20_000
	throttled := peer(t, "throttled", few, width)
	bar("bare limiter decisions, 64 goroutines", fmt.Sprintf("%.0f/s", ours), fmt.Sprintf("redis_rate %.0f/s", other), times(ours, other), "≥ 1.5 ×", ours >= 1.5*other)
	note("throttled on one key", "%.0f/s, %d of %d failed", throttled.PerSecond, throttled.Errors, few)
}
