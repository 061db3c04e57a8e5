//go:build bench

package bench

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/scheduler"
)

// drained is what a drain of waiting tasks took.
type drained struct {
	perSecond, bytes, scripts, commands float64
	worker, plugin, server              float64 // µs of CPU a task
}

// drain submits n tasks to queues that are paused, lets them go, and waits until all are
// done.
func drain(t *testing.T, n, queues int, request scheduler.SubmitRequest, spec func(*scheduler.QueueSpec)) (d drained) {
	t.Helper()
	r := newRig(t, `handler "noop" {}`, 1)
	ctx := context.Background()
	before := r.memory()
	fast := ratelimit.Rates{{N: 1e9, Period: time.Second, Burst: 1e6}}
	for _, limit := range []string{"a", "b", "c"} {
		if _, err := r.client.SetLimit(ctx, limit, scheduler.LimitChange{Rates: &fast}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range queues {
		s := scheduler.DefaultQueue("noop")
		s.Paused = true
		if spec != nil {
			spec(&s)
		}
		if _, err := r.client.CreateQueue(ctx, fmt.Sprint("q", i), s); err != nil {
			t.Fatal(err)
		}
		tasks := make([]scheduler.SubmitRequest, n/queues)
		for k := range tasks {
			tasks[k] = request
			tasks[k].Payload = fmt.Appendf(nil, "%0*d", payloadSize, k)
			if s.Key != nil {
				tasks[k].Key = fmt.Sprint("k", k%100)
			}
		}
		if _, err := r.client.SubmitMany(ctx, fmt.Sprint("q", i), tasks); err != nil {
			t.Fatal(err)
		}
	}
	d.bytes = float64(r.memory()-before) / float64(n)
	scripts, commands := calls(t, r.rdb)
	worker, plugin, server, wall := r.used(func() {
		for i := range queues {
			if err := r.client.Resume(ctx, fmt.Sprint("q", i)); err != nil {
				t.Fatal(err)
			}
		}
		r.until(2*time.Minute, func() bool { return r.done(queues) == int64(n) })
	})
	scriptsAfter, commandsAfter := calls(t, r.rdb)
	us := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(n) }
	d.perSecond = float64(n) / wall.Seconds()
	d.scripts = float64(scriptsAfter-scripts) / float64(n)
	d.commands = float64(commandsAfter-commands) / float64(n)
	d.worker, d.plugin, d.server = us(worker), us(plugin), us(server)
	return d
}

const waiting = 100_000

// rounds is how often each side of a comparison runs, by turns; the best of each counts.
const rounds = 3

// best drains and keeps the better one.
func (d *drained) best(o drained) {
	if o.perSecond > d.perSecond {
		*d = o
	}
}

func TestDrainOfOneQueue(t *testing.T) {
	d, asynq, bullmq := drainBeside(t, "1 queue", 1)
	per := func(calls int64) float64 { return float64(calls) / waiting }
	bar("script calls a task at saturation", fmt.Sprintf("%.3f", d.scripts), fmt.Sprintf("asynq %.2f, BullMQ %.2f", per(asynq.scripts), per(bullmq.scripts)),
		"", "≤ 0.1", d.scripts <= 0.1)
	bar("commands a task in scripts", fmt.Sprintf("%.2f", d.commands), fmt.Sprintf("asynq %.1f, BullMQ %.1f", per(asynq.commands), per(bullmq.commands)),
		"", "≤ 8", d.commands <= 8)
	note("drain, CPU a task: worker, plugin, Redis", "%.1f, %.1f, %.1f µs", d.worker, d.plugin, d.server)
	note("6 × asynq would leave for a task, on two cores that do nothing else", "%.1f µs", 2e6/(6*asynq.PerSecond))
}

// drainBeside drains the same number of tasks as asynq and BullMQ do. Of those the best run
// is returned too.
func drainBeside(t *testing.T, name string, queues int) (d drained, asynq, bullmq peerFigures) {
	t.Helper()
	width := 0
	for range rounds {
		d.best(drain(t, waiting, queues, scheduler.SubmitRequest{}, nil))
		for _, w := range []int{10, 64, 256} {
			if f := peer(t, fmt.Sprint("asynq-drain", queues), waiting, w); f.PerSecond > asynq.PerSecond {
				asynq, width = f, w
			}
		}
		if f := bull(t, "drain", waiting, queues); f.PerSecond > bullmq.PerSecond {
			bullmq = f
		}
	}
	ours := fmt.Sprintf("%.0f/s", d.perSecond)
	bar("drain of 100,000 waiting tasks, "+name, ours, fmt.Sprintf("asynq %.0f/s (%d goroutines)", asynq.PerSecond, width), times(d.perSecond, asynq.PerSecond), "≥ 6 ×", d.perSecond >= 6*asynq.PerSecond)
	bar("the same", ours, fmt.Sprintf("BullMQ %.0f/s (64)", bullmq.PerSecond), times(d.perSecond, bullmq.PerSecond), "≥ 3 ×", d.perSecond >= 3*bullmq.PerSecond)
	return d, asynq, bullmq
}

func TestDrainOfManyQueues(t *testing.T) {
	d, _, _ := drainBeside(t, "100 queues", 100)
	note("drain of 100 queues, CPU a task: worker, plugin, Redis", "%.1f, %.1f, %.1f µs", d.worker, d.plugin, d.server)
}

func TestDrainUnderLimits(t *testing.T) {
	fast := ratelimit.Rates{{N: 1e9, Period: time.Second, Burst: 1e6}}
	var plain, limited drained
	for range rounds {
		plain.best(drain(t, waiting, 1, scheduler.SubmitRequest{}, nil))
		limited.best(drain(t, waiting, 1, scheduler.SubmitRequest{Cost: 2}, func(s *scheduler.QueueSpec) {
			s.Limits, s.Key = []string{"a", "b", "c"}, &scheduler.KeySpec{Rates: fast, Weight: 1}
		}))
	}
	bar("drain of a queue with three limits, 100 keys and costs", fmt.Sprintf("%.0f/s", limited.perSecond),
		fmt.Sprintf("a plain queue %.0f/s", plain.perSecond), times(limited.perSecond, plain.perSecond), "≥ 0.5 ×", limited.perSecond >= 0.5*plain.perSecond)
	note("drain under three limits, CPU a task: worker, plugin, Redis", "%.1f, %.1f, %.1f µs", limited.worker, limited.plugin, limited.server)
}

func TestMemoryOfWaitingTasks(t *testing.T) {
	d := drain(t, waiting, 1, scheduler.SubmitRequest{}, nil)
	bullmq := bull(t, "memory", waiting, 1).Bytes
	bar("Redis memory a waiting task, generated id", fmt.Sprintf("%.0f bytes", d.bytes), fmt.Sprintf("BullMQ %.0f", bullmq), times(d.bytes, bullmq), "≤ 250", d.bytes <= 250)
}
