//go:build linux

package blackbox

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/scheduler"
	"github.com/throttlerd/throttlerd/tests/proc"
)

func TestIdleQueueStartsAtOnce(t *testing.T) {
	s := newSite(t)
	w := proc.Worker(t, s.file(s.echo(), queue("idle")))
	const tasks = 200
	var took []time.Duration
	for i := range tasks {
		before := time.Now().UnixMicro()
		s.submit("idle", 1, "{}")
		starts := s.journal.WaitStarts(i+1, 5*time.Second)
		took = append(took, time.Duration(starts[i].StartUs-before)*time.Microsecond)
	}
	s.waitDone("idle", tasks, 5*time.Second)
	median := quantile(took, 0.5)
	t.Logf("figure: submit to handler: median %v, p99 %v", median, quantile(took, 0.99))
	if median > 20*time.Millisecond {
		t.Errorf("median %v from submit to handler", median)
	}
	s.idle(w)
}

// idle demands of a worker with nothing to do that it hardly talks to Redis.
func (s *site) idle(w *proc.Process) {
	s.Helper()
	const watch = 5 * time.Second
	plugin := s.plugin(w)
	reads := s.reads()
	worker, handler := proc.CPU(s, w.PID), proc.CPU(s, plugin)
	time.Sleep(watch) // the idle time that is looked at
	worker, handler = proc.CPU(s, w.PID)-worker, proc.CPU(s, plugin)-handler
	perSecond := float64(s.reads()-reads-1) / watch.Seconds()
	s.Logf("figure: idle worker: %.1f round trips/s, CPU %.2f %%, its plugin %.2f %%",
		perSecond, 100*worker.Seconds()/watch.Seconds(), 100*handler.Seconds()/watch.Seconds())
	if perSecond > 3 {
		s.Errorf("an idle worker makes %.1f round trips a second; at most 3 are needed", perSecond)
	}
	if worker > watch/50 { // the promise is 1 %
		s.Errorf("an idle worker uses %v in %v", worker, watch)
	}
}

// A herd of idle workers costs no more claims per task than one.
func TestIdleHerd(t *testing.T) {
	s := newSite(t)
	file := s.file(s.echo(), queue("idle"))
	const tasks = 60
	perTask := func(workers []*proc.Process) float64 {
		before := int64(0)
		for _, w := range workers {
			before += s.claims(w)
		}
		first := len(s.journal.Starts())
		for i := range tasks {
			s.submit("idle", 1, "{}")
			s.journal.WaitStarts(first+i+1, 5*time.Second)
			s.waitDone("idle", first+i+1, 5*time.Second)
		}
		after := int64(0)
		for _, w := range workers {
			after += s.claims(w)
		}
		return float64(after-before) / tasks
	}
	workers := []*proc.Process{proc.Worker(t, file)}
	one := perTask(workers)
	more := make([]*proc.Process, 19)
	for i := range more {
		more[i] = proc.Start(t, "run", "-c", file)
	}
	for _, w := range more {
		w.WaitServing()
	}
	workers = append(workers, more...)
	herd := perTask(workers)
	t.Logf("figure: claims per submitted task: one worker %.2f, twenty %.2f", one, herd)
	if herd > 1.5*one {
		t.Errorf("twenty idle workers make %.2f claims per task, one makes %.2f", herd, one)
	}
}

func TestManyBlockedQueuesCostNothing(t *testing.T) {
	s := newSite(t)
	queues := 10_000
	w := proc.Worker(t, s.file(s.echo("concurrency = 256")))
	spec := scheduler.DefaultQueue("echo")
	spec.Rates = ratelimit.Rates{{N: 1, Period: time.Hour, Burst: 1}}
	names := make(chan string)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for name := range names {
				if _, err := s.client.CreateQueue(t.Context(), name, spec); err != nil {
					t.Error(err)
				}
				two := []scheduler.SubmitRequest{{Payload: []byte("{}")}, {Payload: []byte("{}")}}
				if _, err := s.client.SubmitMany(t.Context(), name, two); err != nil {
					t.Error(err)
				}
			}
		})
	}
	began := time.Now()
	for i := range queues {
		names <- fmt.Sprintf("q%05d", i)
	}
	close(names)
	wg.Wait()
	starts := s.journal.WaitStarts(queues, time.Minute)
	t.Logf("figure: %d queues created, filled and served once in %v", queues, time.Since(began).Round(time.Millisecond))
	served := make(map[string]bool)
	for _, e := range starts {
		served[e.Queue] = true
	}
	if len(starts) != queues || len(served) != queues {
		t.Errorf("%d starts of %d queues, not one of each of %d", len(starts), len(served), queues)
	}
	s.waitDone("q00000", 1, 5*time.Second)
	s.idle(w)
	if n := len(s.journal.Starts()); n != queues {
		t.Errorf("%d starts where each queue had one token", n)
	}
	if q := s.show("q04711"); q.Waiting != 1 || q.BlockedBy != "rate" {
		t.Errorf("%+v", q)
	}
}

func TestUnlimitedQueuesTakeTurns(t *testing.T) {
	s := newSite(t)
	// the long queue keeps no journal, so that it runs as fast as it can
	handler := "handler \"echo\" {}\n"
	proc.Worker(t, s.file(handler, queue("long", "paused = true", "timeout = \"60s\""), queue("other")))
	const tasks = 100_000
	ids := make([]scheduler.SubmitRequest, tasks)
	for i := range ids {
		ids[i].Payload = []byte(`{"n": 1}`)
	}
	_, err := s.client.SubmitMany(s.ctx(), "long", ids)
	s.must(err)
	began := time.Now()
	s.must(s.client.Resume(s.ctx(), "long"))
	s.waitDone("long", 1, 5*time.Second)
	var took []time.Duration
	for i := 0; i < 20 && s.show("long").Waiting > 1000; i++ {
		before := time.Now().UnixMicro()
		s.submit("other", 1, fmt.Sprintf(`{"journal": %q}`, s.journal.Path))
		starts := s.journal.WaitStarts(i+1, 10*time.Second)
		took = append(took, time.Duration(starts[i].StartUs-before)*time.Microsecond)
	}
	s.waitDone("long", tasks, time.Minute)
	t.Logf("figure: beside %d tasks of another queue: %d tasks start after median %v, worst %v; %.0f tasks/s in all",
		tasks, len(took), quantile(took, 0.5), quantile(took, 1), tasks/time.Since(began).Seconds())
	if len(took) == 0 {
		t.Error("the long queue was empty before another task was submitted")
	}
	if worst := quantile(took, 1); worst > time.Second {
		t.Errorf("a task of the other queue waited %v", worst)
	}
}
