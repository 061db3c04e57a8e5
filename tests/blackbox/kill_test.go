//go:build linux

package blackbox

import (
	"context"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/scheduler"
	"github.com/throttlerd/throttlerd/tests/proc"
	"github.com/throttlerd/throttlerd/tests/redistest"
)

// With the default lease.
func TestWorkerKilled(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := s.file(s.echo(), queue("jobs"))
	first := proc.Worker(t, file)
	plugin := s.plugin(first)
	const tasks = 50
	ids := s.submit("jobs", tasks, `{"sleep": "5s"}`)
	s.journal.WaitStarts(tasks, 10*time.Second)
	proc.Worker(t, file)
	first.Kill()
	killed := time.Now()
	s.noPlugin(plugin)
	starts := s.journal.WaitStarts(2*tasks, 20*time.Second)
	t.Logf("figure: all %d tasks of a killed worker run again after %v", tasks, time.Since(killed).Round(time.Millisecond))
	if time.Since(killed) > 12*time.Second {
		t.Errorf("the tasks of a killed worker ran again after %v; 12s are promised", time.Since(killed))
	}
	if n := s.audit("jobs", ids)["running"]; n != tasks {
		t.Errorf("%d tasks are running, not %d", n, tasks)
	}
	s.waitDone("jobs", tasks, 10*time.Second)
	s.audit("jobs", ids)
	s.rerun(starts, ids)
}

// rerun demands that each task was started twice, uncharged, under a higher fence.
func (s *site) rerun(starts []proc.Entry, ids []string) {
	s.Helper()
	runs := make(map[string][]proc.Entry)
	for _, e := range starts {
		runs[e.Task] = append(runs[e.Task], e)
	}
	for _, id := range ids {
		r := runs[id]
		if len(r) != 2 || r[0].Attempt != 1 || r[1].Attempt != 1 || r[1].Fence <= r[0].Fence || r[0].PID == r[1].PID {
			s.Errorf("runs of task %s: %+v", id, r)
		}
	}
}

// noPlugin demands that a plugin is gone within a second.
func (s *site) noPlugin(pid int) {
	s.Helper()
	began := time.Now()
	proc.Eventually(s, time.Second, "the plugin of a worker that has ended is gone", func() bool { return !proc.Alive(pid) })
	s.Logf("figure: plugin gone %v after its worker", time.Since(began).Round(time.Millisecond))
}

func TestPluginKilled(t *testing.T) {
	s := newSite(t)
	w := proc.Worker(t, s.file(s.echo(), queue("jobs")))
	const tasks = 20
	ids := s.submit("jobs", tasks, `{"sleep": "1s"}`)
	s.journal.WaitStarts(tasks, 10*time.Second)
	plugin := s.plugin(w)
	proc.Kill(t, plugin)
	killed := time.Now()
	starts := s.journal.WaitStarts(2*tasks, 10*time.Second)
	took := time.Since(killed)
	t.Logf("figure: all %d tasks of a killed plugin run again after %v", tasks, took.Round(time.Millisecond))
	if took > time.Second {
		t.Errorf("the tasks of a killed plugin ran again after %v; 1s is promised", took)
	}
	s.waitDone("jobs", tasks, 10*time.Second)
	s.audit("jobs", ids)
	s.rerun(starts, ids)
	if w.Exited() || s.plugin(w) == plugin {
		t.Error("the worker did not live on with a new plugin")
	}
}

// A plugin that does not answer any more is no better than a dead one.
func TestPluginStopped(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	w := proc.Worker(t, s.file(s.echo(), queue("jobs", `timeout = "1s"`, "retry {\nmin = \"10ms\"\n}")))
	ids := s.submit("jobs", 5, `{"sleep": "300ms"}`)
	s.journal.WaitStarts(5, 10*time.Second)
	s.must(syscall.Kill(s.plugin(w), syscall.SIGSTOP))
	began := time.Now()
	s.waitDone("jobs", 5, 30*time.Second)
	t.Logf("figure: tasks of a hung plugin done after %v", time.Since(began).Round(time.Millisecond))
	s.audit("jobs", ids)
	if w.Exited() {
		t.Error("the worker ended")
	}
}

func TestRedisKilledUnderLoad(t *testing.T) {
	t.Parallel()
	// each write is on file before its reply, so that what is lost is lost by us
	s := newSite(t, redistest.WithAOF(), redistest.WithArgs("--appendfsync", "always"))
	file := s.file(s.echo(), queue("jobs", `rate = "2000/1s:100"`))
	for range 2 {
		proc.Worker(t, file)
	}
	var mu sync.Mutex
	var ids []string
	acknowledged := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(ids)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				call, cancel := context.WithTimeout(context.Background(), 2*time.Second)
				r, err := s.client.Submit(call, scheduler.SubmitRequest{Queue: "jobs", Payload: []byte(`{"sleep": "20ms"}`)})
				cancel()
				if err != nil {
					time.Sleep(5 * time.Millisecond) // until it is back; it may have been taken
					continue
				}
				mu.Lock()
				ids = append(ids, r.ID)
				mu.Unlock()
			}
		})
	}
	for range 3 {
		before := acknowledged()
		proc.Eventually(t, 20*time.Second, "500 more tasks are acknowledged", func() bool { return acknowledged() > before+500 })
		s.redis.Kill()
		s.redis.Restart()
	}
	back := time.Now()
	before, started := acknowledged(), len(s.journal.Starts())
	s.journal.WaitStarts(started+1, 10*time.Second)
	t.Logf("figure: first start %v after Redis was back", time.Since(back).Round(time.Millisecond))
	proc.Eventually(t, 20*time.Second, "500 more tasks are acknowledged", func() bool { return acknowledged() > before+500 })
	stop()
	wg.Wait()
	s.audit("jobs", ids) // under load
	proc.Eventually(t, 40*time.Second, "all tasks are done", func() bool {
		q := s.show("jobs")
		return q.Waiting+q.Running+q.Scheduled == 0
	})
	s.audit("jobs", ids)
	starts := s.journal.Starts()
	runs := make(map[string]int)
	for _, e := range starts {
		runs[e.Task]++
	}
	never, twice := 0, 0
	for _, id := range ids {
		if runs[id] == 0 {
			never++
		}
	}
	for _, n := range runs {
		if n > 1 {
			twice++
		}
	}
	q := s.show("jobs")
	t.Logf("figure: Redis killed 3 times: %d tasks acknowledged, %d run, %d of them twice; %d tokens spent, %d wasted", len(ids), len(runs), twice, q.TokensSpent, q.TokensWasted)
	if never > 0 {
		t.Errorf("%d of %d acknowledged tasks never ran", never, len(ids))
	}
	if q.Dead > 0 || q.Failed > 0 {
		t.Errorf("%+v", q)
	}
	s.bound("2000/1s:100", starts)
}

func TestRedisStopped(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := s.file(s.echo(), queue("jobs"), queue("limited", `rate = "10/1s"`))
	for range 2 {
		proc.Worker(t, file)
	}
	// some finish while Redis is away, the others after it is back
	ids := append(s.submit("jobs", 25, `{"sleep": "4s"}`), s.submit("jobs", 25, `{"sleep": "17s"}`)...)
	s.journal.WaitStarts(50, 10*time.Second)
	s.redis.Stop()
	stopped := time.Now()
	time.Sleep(15 * time.Second) // the fault
	if n := len(s.journal.Finishes()); n != 25 {
		t.Errorf("%d tasks finished while Redis was away, not 25", n)
	}
	s.redis.Continue()
	back := time.Now()
	limited := s.submit("limited", 20, "{}")
	s.waitDone("jobs", 50, 20*time.Second)
	s.waitDone("limited", 20, 20*time.Second)
	t.Logf("figure: Redis was away for %v; all done %v after it was back", back.Sub(stopped).Round(time.Millisecond), time.Since(back).Round(time.Millisecond))
	s.once(append(ids, limited...))
	s.audit("jobs", ids)
	s.audit("limited", limited)
	s.bound("10/1s", s.journal.Starts(proc.OfQueue("limited")))
}

// Scripts are forgotten and connections cut all the time; nothing is lost, run twice or
// granted above the rate.
func TestRedisForgetsAndCuts(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := s.file(s.echo(), queue("jobs", `rate = "500/1s:20"`))
	for range 2 {
		proc.Worker(t, file)
	}
	const tasks = 2000
	s.must(s.client.Pause(s.ctx(), "jobs"))
	ids := s.submit("jobs", tasks, "{}")
	s.must(s.client.Resume(s.ctx(), "jobs"))
	rdb := s.redis.Client()
	defer rdb.Close()
	faults := 0
	for deadline := time.Now().Add(30 * time.Second); len(s.journal.Starts()) < tasks; faults++ {
		if time.Now().After(deadline) {
			t.Fatalf("only %d of %d starts", len(s.journal.Starts()), tasks)
		}
		for _, cut := range [][]any{{"script", "flush"}, {"client", "kill", "type", "pubsub"}, {"client", "kill", "type", "normal", "skipme", "yes"}} {
			if err := rdb.Do(s.ctx(), cut...).Err(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(15 * time.Millisecond) // between two faults
		}
	}
	s.waitDone("jobs", tasks, 10*time.Second)
	s.audit("jobs", ids)
	s.once(ids)
	s.bound("500/1s:20", s.journal.Starts())
	q := s.show("jobs")
	t.Logf("figure: %d rounds of flushed scripts and cut connections: %d tokens spent, %d wasted", faults, q.TokensSpent, q.TokensWasted)
	if q.TokensSpent-q.TokensWasted != tasks {
		t.Errorf("%d tokens spent, %d wasted, for %d starts", q.TokensSpent, q.TokensWasted, tasks)
	}
}
