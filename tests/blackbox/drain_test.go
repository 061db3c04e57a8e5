//go:build linux

package blackbox

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/scheduler"
	"github.com/throttlerd/throttlerd/tests/proc"
)

// Three workers are replaced one after the other under load: no task is lost, none
// runs twice, none loses an attempt.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := s.file(s.echo(), queue("jobs", `rate = "300/1s:5"`))
	workers := []*proc.Process{proc.Worker(t, file), proc.Worker(t, file), proc.Worker(t, file)}
	const tasks = 1200
	ids := s.submit("jobs", tasks, `{"sleep": "30ms"}`)
	for i := range workers {
		s.journal.WaitStarts((i+1)*250, 20*time.Second)
		s.stop(workers[i], 10*time.Second)
		workers[i] = proc.Worker(t, file)
	}
	s.waitDone("jobs", tasks, 20*time.Second)
	starts := s.journal.Starts()
	s.once(ids)
	for _, e := range starts {
		if e.Attempt != 1 {
			t.Errorf("task %s ran with attempt %d", e.Task, e.Attempt)
		}
	}
	s.bound("300/1s:5", starts)
	if q := s.show("jobs"); q.TokensWasted != 0 || q.TokensSpent != tasks {
		t.Errorf("%d tokens spent, %d wasted, for %d tasks", q.TokensSpent, q.TokensWasted, tasks)
	}
}

func TestDrainTimeoutHandsOver(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := s.file(`drain_timeout = "300ms"`, s.echo(), queue("jobs"))
	first := proc.Worker(t, file)
	plugin := s.plugin(first)
	ids := s.submit("jobs", 5, `{"sleep": "2s"}`)
	s.journal.WaitStarts(5, 10*time.Second)
	s.stop(first, 5*time.Second)
	s.noPlugin(plugin)
	for _, id := range ids {
		if x := s.task(id); x.State != "waiting" || x.Attempts != 0 {
			t.Errorf("after the drain task %s is %s with %d attempts", id, x.State, x.Attempts)
		}
	}
	proc.Worker(t, file)
	s.waitDone("jobs", 5, 15*time.Second)
	s.audit("jobs", ids)
	s.rerun(s.journal.Starts(), ids)
}

func TestSecondSignalHurries(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := s.file(s.echo(), queue("jobs"))
	w := proc.Worker(t, file)
	ids := s.submit("jobs", 2, `{"sleep": "1m"}`)
	s.journal.WaitStarts(2, 10*time.Second)
	w.Signal(syscall.SIGTERM)
	w.WaitLog("draining", 5*time.Second)
	w.Signal(syscall.SIGTERM)
	if code := w.Wait(10 * time.Second); code != 0 {
		t.Errorf("ended with code %d", code)
	}
	for _, id := range ids {
		if x := s.task(id); x.State != "waiting" || x.Attempts != 0 {
			t.Errorf("task %s is %s with %d attempts", id, x.State, x.Attempts)
		}
	}
}

// A worker that stood still does not start late what it had reserved: it hands it back.
func TestStalledWorkerStartsNothingLate(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	w := proc.Worker(t, s.file(s.echo(), queue("jobs", `rate = "100/1s"`)))
	ids := s.submit("jobs", 300, `{}`)
	for i := range 3 {
		s.journal.WaitStarts(20+i*60, 10*time.Second)
		w.Signal(syscall.SIGSTOP)
		time.Sleep(600 * time.Millisecond) // the stall
		w.Signal(syscall.SIGCONT)
	}
	s.waitDone("jobs", 300, 20*time.Second)
	s.once(ids)
	starts := s.journal.Starts()
	s.bound("100/1s", starts)
	for _, e := range starts {
		if e.Late() > 400*time.Millisecond {
			t.Errorf("task %s started %v after its grant", e.Task, e.Late())
		}
	}
	q := s.show("jobs")
	t.Logf("figure: 3 stalls of 600ms: %d tokens spent for 300 tasks, %d wasted", q.TokensSpent, q.TokensWasted)
	if q.TokensSpent != 300+q.TokensWasted || q.TokensWasted == 0 {
		t.Errorf("%d tokens spent, %d wasted, for 300 tasks", q.TokensSpent, q.TokensWasted)
	}
}

func TestPoolsAndQueues(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := s.file(s.echo(), queue("here"), queue("far", `pool = "batch"`), queue("wide", `pool = "other"`))
	general := proc.Worker(t, file)
	batch := proc.Worker(t, file, "--pool", "batch")
	one := proc.Worker(t, file, "--queue", "wide")
	by := make(map[string]string)
	for _, q := range []string{"here", "far", "wide"} {
		id := s.submit(q, 1, `{}`)[0]
		by[q] = s.waitState(id, "done", 5*time.Second).Worker
	}
	if by["here"] != general.ID() || by["far"] != batch.ID() || by["wide"] != one.ID() {
		t.Errorf("queues were served by %v; workers are %s, %s, %s", by, general.ID(), batch.ID(), one.ID())
	}
	for _, w := range []*proc.Process{general, batch, one} {
		s.stop(w, 10*time.Second)
	}
	proc.Worker(t, file, "--pool", "*")
	for _, q := range []string{"here", "far", "wide"} {
		s.waitState(s.submit(q, 1, `{}`)[0], "done", 5*time.Second)
	}
}

func TestReload(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := s.file(s.echo(), queue("a", `rate = "1/1h"`))
	w := proc.Worker(t, file)
	s.rewrite(file, s.echo(), queue("a", `rate = "2/1h:7"`), queue("b"))
	w.Signal(syscall.SIGHUP)
	proc.Eventually(t, 5*time.Second, "queue b", func() bool {
		_, err := s.client.Queue(context.Background(), "b")
		return err == nil
	})
	if q := s.show("a"); q.Capacity != 7 {
		t.Errorf("queue a has rate %s", q.Rates)
	}
	s.waitState(s.submit("b", 1, `{}`)[0], "done", 5*time.Second)
	s.rewrite(file, s.echo(), `queue "a" { rate = "nonsense" }`)
	w.Signal(syscall.SIGHUP)
	w.WaitLog("reload refused", 5*time.Second)
	s.rewrite(file, s.echo(), queue("a"))
	w.Signal(syscall.SIGHUP)
	proc.Eventually(t, 5*time.Second, "queue b undeclared", func() bool { return s.show("b").Undeclared })
	if _, err := s.client.Submit(s.ctx(), scheduler.SubmitRequest{Queue: "b"}); err != nil {
		t.Errorf("an undeclared queue takes nothing in: %v", err)
	}
}
