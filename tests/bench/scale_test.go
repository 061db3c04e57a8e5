//go:build bench

package bench

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/scheduler"
	"github.com/throttlerd/throttlerd/tests/redistest"
)

// idleFrom: a program has started by then, and is watched.
const idleFrom = 3 * time.Second

func TestIdle(t *testing.T) {
	r := newRig(t, `handler "echo" {}`, 1)
	time.Sleep(idleFrom)
	trips, busy := r.idle()
	words := func(trips, busy float64) string { return fmt.Sprintf("%.1f, %.2f %%", trips, busy) }
	bar("idle worker: round trips a second, CPU", words(trips, busy),
		fmt.Sprintf("asynq %s; BullMQ %s", words(idlePeer(t, goPeer, "asynq-idle")), words(idlePeer(t, nodePeer, "idle"))), "", "≤ 3, < 0.2 %", trips <= 3 && busy < 0.2)
}

func (r *rig) idle() (trips, busy float64) {
	r.t.Helper()
	return idle(r.t, r.srv.Socket(), r.worker.Process.Pid, r.plugin())
}

// idle watches processes with nothing to do: round trips a second, and percent of a core.
func idle(t *testing.T, socket string, pids ...int) (trips, busy float64) {
	t.Helper()
	used := func() (sum time.Duration) {
		for _, p := range pids {
			sum += cpu(t, p)
		}
		return sum
	}
	before, start := used(), time.Now()
	n := sent(t, socket, 20*time.Second) // some of asynq's duties come each 5 s
	wall := time.Since(start).Seconds()
	return float64(n) / wall, 100 * (used() - before).Seconds() / wall
}

// idlePeer is idle of one of the others.
func idlePeer(t *testing.T, program peerProgram, what string) (trips, busy float64) {
	t.Helper()
	srv := redistest.Start(t)
	defer srv.Kill()
	cmd := program(t, srv.Socket(), what)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	time.Sleep(idleFrom)
	return idle(t, srv.Socket(), cmd.Process.Pid)
}

// many makes queues with a task each that waits for its limit.
func (r *rig) many(queues, tasks int, spec func(*scheduler.QueueSpec)) {
	r.t.Helper()
	for i := range queues {
		s := scheduler.DefaultQueue("echo")
		spec(&s)
		if _, err := r.client.CreateQueue(context.Background(), fmt.Sprint("s", i), s); err != nil {
			r.t.Fatal(err)
		}
		r.submit(fmt.Sprint("s", i), tasks)
	}
}

func TestManySlowQueues(t *testing.T) {
	newHot := func() *rig {
		r := newRig(t, `handler "echo" { concurrency = 256 }`, 1)
		r.queue("hot", "")
		if err := r.client.Pause(context.Background(), "hot"); err != nil {
			t.Fatal(err)
		}
		return r
	}
	alone, beside := newHot(), newHot()
	beside.many(100_000, 2, func(s *scheduler.QueueSpec) { s.Rates, _ = ratelimit.ParseRates("1/1h") })
	beside.until(2*time.Minute, func() bool {
		n, err := beside.rdb.ZCount(context.Background(), "{bench}:due:default:echo", "-inf", fmt.Sprint(time.Now().UnixMicro())).Result()
		return err == nil && n == 0
	})
	trips, busy := beside.idle()
	bar("100,000 queues, each with a task waiting on a slow rate: round trips a second", fmt.Sprintf("%.1f (%.2f %% CPU)", trips, busy), "", "", "≤ 3", trips <= 3)
	var a, b float64
	for range 2 * rounds { // they are short
		a, b = max(a, alone.hot()), max(b, beside.hot())
	}
	bar("a hot queue beside them", fmt.Sprintf("%.0f/s", b), fmt.Sprintf("alone %.0f/s", a), times(b, a), "> 0.95 ×", b > 0.95*a)
}

// hot drains the queue of that name, and returns the tasks a second.
func (r *rig) hot() float64 {
	r.t.Helper()
	const n = 50_000
	r.submit("hot", n)
	before := r.completed("hot")
	start := time.Now()
	if err := r.client.Resume(context.Background(), "hot"); err != nil {
		r.t.Fatal(err)
	}
	r.until(time.Minute, func() bool { return r.completed("hot") == before+n })
	v := n / time.Since(start).Seconds()
	if err := r.client.Pause(context.Background(), "hot"); err != nil {
		r.t.Fatal(err)
	}
	return v
}

// perGrant claims one task at a time from a hot queue, n times, and returns the time of a
// claim and a settle.
func (r *rig) perGrant(s *scheduler.Session, queue string, n int) time.Duration {
	r.t.Helper()
	ctx := context.Background()
	var out []scheduler.Outcome
	start := time.Now()
	for range n {
		g, _, err, claimErr := s.Exchange(ctx, out, &scheduler.Claim{Slots: []scheduler.Slots{{Index: "default:echo", Free: 1}}})
		if err != nil || claimErr != nil || len(g.Grants) != 1 {
			r.t.Fatal(err, claimErr, len(g.Grants))
		}
		out = []scheduler.Outcome{{Task: g.Grants[0].Internal, Fence: g.Grants[0].Fence, Kind: scheduler.Done}}
	}
	return time.Since(start) / time.Duration(n)
}

func (r *rig) session(id string) *scheduler.Session {
	r.t.Helper()
	s, err := r.client.Register(context.Background(), scheduler.Worker{ID: id, Pools: []string{"default"}, Indexes: []string{"default:echo"},
		Slots: map[string]int{"echo": 64}, Lease: time.Hour, Started: time.Now()})
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

func TestGrantAmongManyQueues(t *testing.T) {
	measure := func(queues int) time.Duration {
		r := newRig(t, "", 0)
		r.many(queues, 1, func(s *scheduler.QueueSpec) { s.Paused = true })
		r.queue("hot", "1000000/1s:1000000")
		r.submit("hot", 30_000)
		s := r.session("w")
		best := time.Hour
		for range 5 {
			best = min(best, r.perGrant(s, "hot", 5000))
		}
		return best
	}
	few, many := measure(10), measure(100_000)
	bar("a grant with 100,000 queues known", fmt.Sprintf("%.0f µs", float64(many.Nanoseconds())/1000), fmt.Sprintf("with 10 queues %.0f µs", float64(few.Nanoseconds())/1000),
		times(float64(many), float64(few)), "≤ 1.3 ×", float64(many) <= 1.3*float64(few))
}

// commandsPerToken claims each time a token comes, for a while of engine time.
func (r *rig) commandsPerToken(s *scheduler.Session, rate int) float64 {
	r.t.Helper()
	ctx := context.Background()
	var out []scheduler.Outcome
	granted, before := 0, redistest.Commands(r.t, r.rdb)
	for granted < 200 {
		if err := r.rdb.HIncrBy(ctx, "{bench}:clock", "off", 1_000_000/int64(rate)).Err(); err != nil {
			r.t.Fatal(err)
		}
		g, _, err, claimErr := s.Exchange(ctx, out, &scheduler.Claim{Slots: []scheduler.Slots{{Index: "default:echo", Free: 64}}})
		if err != nil || claimErr != nil {
			r.t.Fatal(err, claimErr)
		}
		out = nil
		for _, x := range g.Grants {
			out = append(out, scheduler.Outcome{Task: x.Internal, Fence: x.Fence, Kind: scheduler.Done})
		}
		granted += len(g.Grants)
	}
	return float64(redistest.Commands(r.t, r.rdb)-before) / float64(granted)
}

func TestManyBehindAnExhaustedLimit(t *testing.T) {
	const rate = 50
	rates, _ := ratelimit.ParseRates(fmt.Sprintf("%d/1s", rate))
	queues := func(n int) float64 {
		r := newRig(t, "", 0)
		if _, err := r.client.SetLimit(context.Background(), "api", scheduler.LimitChange{Rates: &rates}); err != nil {
			t.Fatal(err)
		}
		r.many(n, max(3, 3000/n), func(s *scheduler.QueueSpec) { s.Limits = []string{"api"} })
		return r.commandsPerToken(r.session("w"), rate)
	}
	few, many := queues(10), queues(1000)
	bar("1,000 queues behind one exhausted limit: commands a token", fmt.Sprintf("%.1f", many), fmt.Sprintf("10 queues %.1f", few), times(many, few), "≤ 1.1 ×", many <= 1.1*few)
	keys := func(n int) float64 {
		r := newRig(t, "", 0)
		if _, err := r.client.SetLimit(context.Background(), "api", scheduler.LimitChange{Rates: &rates}); err != nil {
			t.Fatal(err)
		}
		s := scheduler.DefaultQueue("echo")
		s.Limits, s.Key = []string{"api"}, &scheduler.KeySpec{Weight: 1}
		if _, err := r.client.CreateQueue(context.Background(), "keyed", s); err != nil {
			t.Fatal(err)
		}
		tasks := make([]scheduler.SubmitRequest, max(n, 3000))
		for i := range tasks {
			tasks[i] = scheduler.SubmitRequest{Key: fmt.Sprint("k", i%n), Payload: []byte("{}")}
		}
		if _, err := r.client.SubmitMany(context.Background(), "keyed", tasks); err != nil {
			t.Fatal(err)
		}
		return r.commandsPerToken(r.session("w"), rate)
	}
	few, many = keys(100), keys(100_000)
	bar("100,000 keys behind one exhausted limit: commands a token", fmt.Sprintf("%.1f", many), fmt.Sprintf("100 keys %.1f", few), times(many, few), "≤ 1.1 ×", many <= 1.1*few)
}

func TestTurns(t *testing.T) {
	r := newRig(t, `handler "echo" {}`, 1)
	r.queue("long", "")
	r.queue("short", "")
	journal := filepath.Join(r.dir, "journal")
	if err := r.client.Pause(context.Background(), "long"); err != nil {
		t.Fatal(err)
	}
	r.submit("long", 100_000)
	if err := r.client.Resume(context.Background(), "long"); err != nil {
		t.Fatal(err)
	}
	r.until(10*time.Second, func() bool { return r.completed("long") > 1000 })
	sent := time.Now().UnixMicro()
	if _, err := r.client.Submit(context.Background(), scheduler.SubmitRequest{Queue: "short", Payload: fmt.Appendf(nil, `{"journal":%q}`, journal)}); err != nil {
		t.Fatal(err)
	}
	s := starts(t, r, journal, 1)
	note("a task beside another queue's 100,000 starts in", "%.1f ms", float64(s[0].Start-sent)/1000)
}
