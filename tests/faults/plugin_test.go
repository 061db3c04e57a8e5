//go:build linux

package faults

import (
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/tests/faults/check"
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
	var faults []check.Fault
	for len(faults) < kills {
		r.more(80 + rnd.IntN(150))
		if f := r.killPlugin(rnd.IntN(3)); f.Process != 0 {
			faults = append(faults, f)
		}
		r.during()
	}
	h := r.verdict(3 * time.Minute) // one that died often is started again late, and the others have its part to do
	longest, tasks := time.Duration(0), 0
	for _, f := range faults {
		again, n := check.Again(h, f)
		longest, tasks = max(longest, again), tasks+n
	}
	r.figure("%d plugins killed: %d tasks cut short ran again, the last after %v", kills, tasks, longest.Round(time.Millisecond))
	if longest > time.Second+rerunSlack {
		t.Errorf("a task of a killed plugin ran again after %v; it waits again within 1s", longest)
	}
	for _, w := range r.workers {
		if w.Exited() {
			t.Error("a worker went down with its plugin")
		}
	}
}
