//go:build linux

package blackbox

import (
	"syscall"
	"testing"
	"time"

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
