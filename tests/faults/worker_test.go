//go:build linux

package faults

import (
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/scheduler"
	"github.com/throttlerd/throttlerd/tests/faults/check"
	"github.com/throttlerd/throttlerd/tests/proc"
)

// Rows 1 and 14: workers die under load, one after another. The default lease takes the
// others so long to notice; here it is 2 s. Plugins are gone within a second.
func TestWorkersKilled(t *testing.T) {
	t.Parallel()
	rnd := seeded(t)
	r := newRig(t)
	r.lease = 2 * time.Second
	r.standard("")
	r.start(3)
	r.produce(12 * time.Millisecond)
	kills := 5
	if long() {
		kills = 100
	}
	var faults []check.Fault
	for range kills {
		r.more(100 + rnd.IntN(200))
		faults = append(faults, r.killWorkers(rnd.IntN(3))...)
		r.during()
	}
	faults = append(faults, r.aloneKilled())
	h := r.verdict(30 * time.Second)
	r.again(h, faults, r.lease, 2*time.Second)
	r.figure("%d workers killed with a lease of %v: %d acknowledged, none lost", len(faults), r.lease, len(h.Acked))
}

// Row 2: a worker stands still for longer than its lease. Its tasks run again elsewhere, and
// it starts afresh. Beside it is one that does not see that its lease is over: what that one
// reports is refused.
func TestWorkerPausedPastItsLease(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.lease = 2 * time.Second
	r.standard("")
	r.start(3)
	r.produce(12 * time.Millisecond)
	rounds := 1
	if long() {
		rounds = 10
	}
	refused, elsewhere := 0, 0
	for i := range rounds {
		r.more(200)
		worker, held := r.occupy()
		silent, outcomes := r.silent(fmt.Sprint("silent", i))
		from := proc.Mono()
		r.pause(worker, r.lease+3*time.Second)
		r.fault(check.WorkerPaused, from, os.Getpid(), 0)
		_, settled, err, _ := silent.Exchange(r.ctx(), outcomes, nil)
		r.must(err)
		if settled.Stale != len(outcomes) {
			t.Errorf("%d of %d outcomes refused, of a worker whose lease was over", settled.Stale, len(outcomes))
		}
		refused += settled.Stale
		r.more(100)
		r.during()
		elsewhere += len(r.startsOf(held)) - len(held)
	}
	h := r.verdict(20 * time.Second)
	r.figure("%d pauses of %v past a lease of %v: %d starts of %d tasks; %d ran again elsewhere, %d outcomes refused",
		rounds, r.lease+3*time.Second, r.lease, starts(h), len(h.Acked), elsewhere, refused)
	if elsewhere < rounds {
		t.Error("the worker that stood still lost no task: the test has shown nothing")
	}
	for _, w := range r.workers {
		if w.Exited() {
			t.Error("the worker that stood still did not live on")
		}
	}
}

// silent is a worker that takes some tasks and says nothing more. It returns the outcomes
// that it has not reported.
func (r *rig) silent(id string) (*scheduler.Session, []scheduler.Outcome) {
	r.Helper()
	s, err := r.client.Register(r.ctx(), scheduler.Worker{
		ID: id, Pools: []string{"default"}, Indexes: []string{"default:echo"}, Slots: map[string]int{"echo": 8}, Lease: r.lease, Started: time.Now(),
	})
	r.must(err)
	var outcomes []scheduler.Outcome
	proc.Eventually(r, 10*time.Second, "a silent worker gets a task", func() bool {
		g, _, _, err := s.Exchange(r.ctx(), nil, &scheduler.Claim{Slots: []scheduler.Slots{{Index: "default:echo", Free: 8}}})
		r.must(err)
		for _, x := range g.Grants {
			outcomes = append(outcomes, scheduler.Outcome{Task: x.Internal, Fence: x.Fence, Kind: scheduler.Done})
		}
		return len(outcomes) > 0
	})
	return s, outcomes
}

// Row 2, where the plugin stands still as well, with tasks in its socket: what another worker
// has run meanwhile does not start when the plugin goes on, which it does first.
func TestPluginPausedPastTheLease(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.lease = 2 * time.Second
	r.configure("", r.queue("open"), r.queue("rated", `rate = "100000/1s"`))
	r.start(1)
	first, plugin, from := r.workers[0], proc.Children(r.workers[0].PID)[0], proc.Mono()
	r.signal(plugin, syscall.SIGSTOP)
	const each = 25
	r.put("open", each, `{}`)
	r.put("rated", each, `{}`)
	proc.Eventually(r, 10*time.Second, "the worker has taken all", func() bool {
		workers, err := r.client.Workers(r.ctx())
		r.must(err)
		return len(workers) == 1 && workers[0].Running == 2*each
	})
	first.Signal(syscall.SIGSTOP)
	r.start(1)
	r.journal.WaitStarts(2*each, 30*time.Second)
	r.signal(plugin, syscall.SIGCONT)
	first.Signal(syscall.SIGCONT)
	r.fault(check.WorkerPaused, from, first.PID, r.lease+3*time.Second)
	proc.Eventually(r, 30*time.Second, "the first worker runs tasks again", func() bool {
		r.put("open", each, `{"sleep": "20ms"}`)
		return len(r.journal.Starts(func(e proc.Entry) bool { return e.Worker == first.PID })) > 0
	})
	h := r.verdict(20 * time.Second)
	r.figure("%d tasks were in the socket of a plugin that stood still: %d starts of %d tasks", 2*each, starts(h), len(h.Acked))
}

func starts(h *check.History) (n int) {
	for _, e := range h.Events {
		if e.Event == "start" {
			n++
		}
	}
	return n
}

// Row 3: stalls shorter than the lease rerun nothing. Only the starts that a worker had
// reserved, and what was handed over to it meanwhile, are handed back.
func TestWorkerPausedWithinItsLease(t *testing.T) {
	t.Parallel()
	rnd := seeded(t)
	r := newRig(t)
	r.lease = 4 * time.Second
	r.standard("")
	r.start(3)
	r.produce(12 * time.Millisecond)
	for range 3 {
		r.more(200)
		r.pause(rnd.IntN(3), r.lease/2)
	}
	r.verdict(20 * time.Second)
}

// Row 4: all workers die at once, and come back.
func TestAllWorkersKilled(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.lease = 2 * time.Second
	r.standard("")
	r.start(3)
	r.produce(12 * time.Millisecond)
	r.more(300)
	r.killWorkers(0, 1, 2)
	r.more(300)
	r.during()
	r.verdict(30 * time.Second)
}

// Row 5: three workers are replaced by SIGTERM, one by one, under load: nothing runs
// twice, nothing is charged, no token is wasted.
func TestRollingDeploy(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.standard("")
	r.start(3)
	r.produce(12 * time.Millisecond)
	rounds := 1
	if long() {
		rounds = 10
	}
	for range rounds {
		for i, w := range r.workers {
			r.more(150)
			w.Signal(syscall.SIGTERM)
			if code := w.Wait(20 * time.Second); code != 0 {
				t.Errorf("worker %d ended with code %d after SIGTERM", w.PID, code)
			}
			r.start(1)
			r.workers[i] = r.workers[len(r.workers)-1]
			r.workers = r.workers[:3]
		}
	}
	h := r.verdict(20 * time.Second) // without a fault: the checker allows for nothing
	r.figure("%d workers replaced under load: %d tasks, %d starts", 3*rounds, len(h.Acked), starts(h))
}
