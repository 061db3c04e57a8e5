//go:build linux

package faults

import (
	"slices"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/scheduler"
	"github.com/throttlerd/throttlerd/tests/faults/check"
	"github.com/throttlerd/throttlerd/tests/proc"
)

// Row 7: plugins die under load. Their tasks wait again within a second, uncharged; the
// other workers' plugins have no part in it.
func TestPluginsKilled(t *testing.T) {
	t.Parallel()
	rnd := seeded(t)
	r := newRig(t)
	r.standard("")
	r.start(3)
	kills, pause := 6, 12*time.Millisecond
	if long() {
		kills, pause = 100, 40*time.Millisecond // those that die over and over are down for most of the time
	}
	r.produce(pause)
	longest, cut := time.Duration(0), 0
	for killed := 0; killed < kills; {
		r.more(80 + rnd.IntN(150))
		if f := r.killPlugin(rnd.IntN(3)); f.Process != 0 {
			took, n := r.waitAgain(f)
			longest, cut, killed = max(longest, took), cut+n, killed+1
		}
		r.during()
	}
	r.verdict(3 * time.Minute) // one that died often is started again late, and the others have its part to do
	r.figure("%d plugins killed: %d tasks cut short waited again, the last after %v", kills, cut, longest.Round(time.Millisecond))
	if longest > time.Second {
		t.Errorf("a task of a killed plugin waited again after %v, not within 1s", longest)
	}
	for _, w := range r.workers {
		if w.Exited() {
			t.Error("a worker went down with its plugin")
		}
	}
}

// waitAgain waits until none of the tasks that a killed worker or plugin had begun is leased
// for that run any more. It returns how long after the kill that was, and how many they were.
func (r *rig) waitAgain(f check.Fault) (took time.Duration, tasks int) {
	r.Helper()
	cut := make(map[int64]bool)
	for _, e := range r.journal.Entries() {
		switch {
		case e.PID != f.Process && e.Worker != f.Process:
		case e.Event == "start":
			cut[e.Fence] = true
		default:
			delete(cut, e.Fence)
		}
	}
	proc.Eventually(r, 30*time.Second, "the tasks of a killed process wait again", func() bool {
		workers, err := r.client.Workers(r.ctx())
		r.must(err)
		for _, w := range workers {
			runs, err := r.client.Runs(r.ctx(), w.ID)
			r.must(err)
			if slices.ContainsFunc(runs, func(x scheduler.Run) bool { return cut[x.Fence] }) {
				return false
			}
		}
		return true
	})
	return time.Duration(proc.Mono() - f.From), len(cut)
}
