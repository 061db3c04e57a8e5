//go:build linux

package blackbox

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/scheduler"
	"github.com/throttlerd/throttlerd/tests/proc"
)

// A long look-ahead: dozens of reserved tasks are handed back at once.
func TestStalledWorkerHandsBackMany(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := s.file(`lookahead = "800ms"`, s.echo(), queue("calls", `rate = "100/1s"`))
	w := proc.Worker(t, file)
	const tasks = 600
	ids := s.submit("calls", tasks, "{}")
	for n := 100; n <= 300; n += 100 {
		s.journal.WaitStarts(n, 10*time.Second)
		w.Signal(syscall.SIGSTOP)
		time.Sleep(time.Second) // the fault
		w.Signal(syscall.SIGCONT)
	}
	starts := s.journal.WaitStarts(tasks, 30*time.Second)
	s.waitDone("calls", tasks, 5*time.Second)
	s.once(ids)
	s.audit("calls", ids)
	s.bound("100/1s", starts)
	q := s.show("calls")
	tooLate := 0
	for _, e := range starts {
		if e.Late() > 300*time.Millisecond { // 250 ms, and the way to the handler
			tooLate++
			t.Errorf("task %s started %v after its grant", e.Task, e.Late())
		}
	}
	t.Logf("figure: worker stopped 3 times for 1s: %d starts too late, %d tokens wasted", tooLate, q.TokensWasted)
	if q.TokensWasted == 0 || q.TokensSpent-q.TokensWasted != tasks {
		t.Errorf("%d tokens spent, %d wasted, for %d starts", q.TokensSpent, q.TokensWasted, tasks)
	}
}

// A worker that was stopped for longer than its lease finds its tasks taken and starts
// afresh; they are not settled twice.
func TestStalledWorkerLosesItsLease(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := s.file(`lease = "2s"`, s.echo(), queue("jobs"))
	first := proc.Worker(t, file)
	ids := s.submit("jobs", 20, `{"sleep": "3s"}`)
	s.journal.WaitStarts(20, 5*time.Second)
	id := first.ID()
	proc.Worker(t, file)
	first.Signal(syscall.SIGSTOP)
	starts := s.journal.WaitStarts(40, 15*time.Second)
	first.Signal(syscall.SIGCONT)
	s.waitDone("jobs", 20, 15*time.Second)
	s.rerun(starts, ids)
	s.audit("jobs", ids)
	proc.Eventually(t, 10*time.Second, "the stopped worker serves under a new name", func() bool { return first.ID() != id })
	more := s.submit("jobs", 100, `{"sleep": "100ms"}`) // more than one worker's slots
	s.waitDone("jobs", 120, 15*time.Second)
	s.audit("jobs", append(ids, more...))
	if q := s.show("jobs"); q.Completed != 120 || q.Failed != 0 {
		t.Errorf("%+v", q)
	}
}

// A worker of one queue that was stopped past its lease, while its queue was removed, waits
// for the queue under one name, and serves it when it is there again.
func TestStalledWorkerLosesItsQueue(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := s.file(`lease = "2s"`, s.echo(), queue("other"))
	create := func() {
		_, err := s.client.CreateQueue(s.ctx(), "own", scheduler.DefaultQueue("echo"))
		s.must(err)
	}
	create()
	w := proc.Worker(t, file, "--queue", "own")
	s.waitState(s.submit("own", 1, "{}")[0], "done", 5*time.Second)
	id := s.worker().ID
	proc.Worker(t, file) // takes back what a dead one had
	w.Signal(syscall.SIGSTOP)
	workers := func() (ids []string) {
		list, err := s.client.Workers(s.ctx())
		s.must(err)
		for _, w := range list {
			ids = append(ids, w.ID)
		}
		return ids
	}
	proc.Eventually(t, 10*time.Second, "the stopped worker is forgotten", func() bool { return !slices.Contains(workers(), id) })
	s.must(s.client.RemoveQueue(s.ctx(), "own", true))
	w.Signal(syscall.SIGCONT)
	proc.Eventually(t, 10*time.Second, "it is back under a new name", func() bool { return len(workers()) == 2 })
	w.WaitLog("queues not read", 5*time.Second)
	before := workers()
	create()
	s.waitState(s.submit("own", 1, "{}")[0], "done", 5*time.Second)
	if now := workers(); !slices.Equal(now, before) {
		t.Errorf("workers %v, then %v", before, now)
	}
	if n := strings.Count(w.Log(), "queues not read"); n > 2 {
		t.Errorf("told %d times that there is no queue", n)
	}
}
