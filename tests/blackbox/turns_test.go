//go:build linux

package blackbox

import (
	"fmt"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/tests/proc"
)

// contended are three kinds of queues that never run empty: one under limit slow, one
// under limit fast, and so many under both.
type contended struct {
	slow, fast string
	both       int
	starts     int // to wait for under slow
}

// run returns the starts until so many under slow are there; who waits is there before
// the first worker.
func (c contended) run(t *testing.T) []proc.Entry {
	s := newSite(t)
	s.newLimit("slow", c.slow)
	s.newLimit("fast", c.fast)
	for i := range c.both {
		name := fmt.Sprint("both", i)
		s.newQueue(name, "slow", "fast")
		s.submit(name, 2*c.starts/c.both+3, "{}")
	}
	s.newQueue("a", "slow")
	s.newQueue("c", "fast")
	s.submit("a", c.starts, "{}")
	s.submit("c", 4*c.starts, "{}")
	s.three(s.file(s.echo()))
	underSlow := func(e proc.Entry) bool { return e.Queue != "c" }
	proc.Eventually(t, 90*time.Second, fmt.Sprint(c.starts, " starts under slow"), func() bool {
		return len(s.journal.Starts(underSlow)) >= c.starts
	})
	starts := s.journal.Starts()
	s.holds("limit slow", c.slow, s.journal.Starts(underSlow), one)
	s.holds("limit fast", c.fast, s.journal.Starts(func(e proc.Entry) bool { return e.Queue != "a" }), one)
	n, first, last := share(starts)
	slow := s.used(c.slow, len(starts)-n["c"], first, last)
	fast := s.used(c.fast, len(starts)-n["a"], first, last)
	t.Logf("figure: %d queues under both limits: slow is used %.2f %%, fast %.2f %%", c.both, 100*slow, 100*fast)
	if slow < 0.95 || fast < 0.95 {
		t.Errorf("slow is used %.2f %%, fast %.2f %%; the longest without a start under slow was %v", 100*slow, 100*fast, longest(s.journal.Starts(underSlow)))
	}
	return starts
}

// A queue under two contended limits gets its turn at the slower one, and neither stands
// still for it.
func TestQueueUnderTwoContendedLimits(t *testing.T) {
	t.Parallel()
	c := contended{slow: "5/1s:5", fast: "8/1s:5", both: 1, starts: 95} // tokens come further apart than the look-ahead
	starts := c.run(t)
	n, _, _ := share(starts)
	turn := float64(n["a"]+n["both0"]) / 2
	t.Logf("figure: %d starts under both limits, the turn at the slower is %.0f", n["both0"], turn)
	if float64(n["both0"]) < 0.9*turn {
		t.Errorf("%d starts under both limits; the turn is %.0f", n["both0"], turn)
	}
}

// The same with 1,000 queues under both.
func TestThousandQueuesUnderTwoContendedLimits(t *testing.T) {
	t.Parallel()
	c := contended{slow: "8/1s:5", fast: "16/1s:8", both: 1000, starts: 150} // bursts cover a machine that stands still for half a second
	starts := c.run(t)
	n, _, _ := share(starts)
	turn := float64(len(starts)-n["c"]) / 1001
	least, most := len(starts), 0
	for i := range c.both {
		k := n[fmt.Sprint("both", i)]
		least, most = min(least, k), max(most, k)
	}
	t.Logf("figure: each of 1,000 queues under both limits has %d to %d starts, the turn is %.2f", least, most, turn)
	if most-least > 1 {
		t.Errorf("of equal queues one has %d starts, another %d", least, most)
	}
}
