//go:build linux

package blackbox

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/scheduler"
	"github.com/throttlerd/throttlerd/tests/proc"
)

// As TestRollingRestart, while tasks keep coming in, and with an unlimited queue beside.
func TestRollingRestartWhileSubmitting(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := s.file(s.echo(), queue("jobs"), queue("limited", `rate = "200/1s:10"`))
	var workers []*proc.Process
	for range 3 {
		workers = append(workers, proc.Worker(t, file))
	}
	var jobs, limited []string
	stop, submitted := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(submitted)
		for {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond): // the load: 500/s in one queue, 200/s in the other
			}
			for q, ids := range map[string]*[]string{"jobs": &jobs, "limited": &limited} {
				batch := slices.Repeat([]scheduler.SubmitRequest{{Payload: []byte(`{"sleep": "50ms"}`)}}, map[string]int{"jobs": 5, "limited": 2}[q])
				got, err := s.client.SubmitMany(t.Context(), q, batch)
				if err != nil {
					t.Error(err)
					return
				}
				for _, r := range got {
					*ids = append(*ids, r.ID)
				}
			}
		}
	}()
	for i, w := range workers {
		before := len(s.journal.Starts())
		s.journal.WaitStarts(before+300, 20*time.Second)
		pid := s.plugin(w)
		s.stop(w, 10*time.Second)
		s.noPlugin(pid)
		workers[i] = proc.Worker(t, file)
	}
	close(stop)
	<-submitted
	s.waitDone("jobs", len(jobs), 20*time.Second)
	s.waitDone("limited", len(limited), 20*time.Second)
	s.once(slices.Concat(jobs, limited))
	s.audit("jobs", jobs)
	s.audit("limited", limited)
	s.bound("200/1s:10", s.journal.Starts(proc.OfQueue("limited")))
	q := s.show("limited")
	t.Logf("figure: three workers restarted one by one under load: %d tasks, each run once; %d tokens spent, %d wasted",
		len(jobs)+len(limited), q.TokensSpent, q.TokensWasted)
	if q.TokensSpent-q.TokensWasted != int64(len(limited)) || q.Failed > 0 {
		t.Errorf("%+v", q)
	}
}

// What does not finish in the drain timeout goes back in front of what waits.
func TestDrainedTaskGoesFirst(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := s.file(`drain_timeout = "1s"`, s.echo("concurrency = 1"), queue("jobs", `timeout = "10m"`))
	first := proc.Worker(t, file)
	slow := s.submit("jobs", 1, `{"sleep": "5m"}`)[0]
	s.journal.WaitStarts(1, 5*time.Second)
	behind := s.submit("jobs", 1, `{"sleep": "5m"}`)[0]
	plugin := s.plugin(first)
	began := time.Now()
	s.stop(first, 6*time.Second)
	t.Logf("figure: drain timeout of 1s: worker gone after %v", time.Since(began).Round(time.Millisecond))
	s.noPlugin(plugin)
	if f := s.journal.Finishes(proc.OfTask(slow)); len(f) != 1 || f[0].WallUs-began.UnixMicro() < 900_000 {
		t.Errorf("the handler was not cancelled at the drain timeout: %+v", f)
	}
	if n := s.audit("jobs", []string{slow, behind})["waiting"]; n != 2 {
		t.Errorf("%d tasks wait, not 2", n)
	}
	if x := s.task(slow); x.Attempts != 0 || x.Crashes != 0 {
		t.Errorf("charged: %+v", x)
	}
	proc.Worker(t, file)
	starts := s.journal.WaitStarts(2, 5*time.Second)
	if e := starts[1]; e.Task != slow || e.Attempt != 1 || e.Fence <= starts[0].Fence {
		t.Errorf("the task did not run again first and uncharged: %+v", e)
	}
}

// A stop while Redis is away ends too, and what ran is delivered or taken back.
func TestStopWithoutRedis(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := s.file(`drain_timeout = "2s"`, `lease = "3s"`, s.echo(), queue("jobs"))
	w := proc.Worker(t, file)
	ids := s.submit("jobs", 5, `{"sleep": "500ms"}`)
	s.journal.WaitStarts(5, 5*time.Second)
	plugin := s.plugin(w)
	s.redis.Stop()
	began := time.Now()
	w.Signal(syscall.SIGTERM)
	code := w.Wait(45 * time.Second)
	t.Logf("figure: a stop without Redis took %v, exit code %d", time.Since(began).Round(time.Millisecond), code)
	s.noPlugin(plugin)
	s.redis.Continue()
	proc.Worker(t, file)
	s.waitDone("jobs", 5, 20*time.Second)
	s.audit("jobs", ids)
}
