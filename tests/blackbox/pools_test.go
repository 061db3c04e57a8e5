//go:build linux

package blackbox

import (
	"math"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/tests/proc"
)

// Queues of two pools and two handlers, each with a worker of its own, have equal turns at
// the limit that they share; one of a pool without a worker delays nobody, until there is
// one.
func TestSharedLimitOverPools(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const rate = "40/1s:20"
	other := "handler \"other\" {\nplugin = \"echo\"\nconfig { journal = \"" + s.journal.Path + "\" }\n}\n"
	// all of them wait before the first worker comes, which declares them
	file := s.file(s.echo(), other, limit("api", `rate = "`+rate+`"`),
		queue("a", `limits = ["api"]`, `pool = "one"`, "paused = true"),
		"queue \"b\" {\nhandler = \"other\"\npool = \"two\"\nlimits = [\"api\"]\npaused = true\n}\n",
		queue("c", `limits = ["api"]`, `pool = "three"`, "paused = true"))
	proc.Worker(t, file, "--pool", "one")
	proc.Worker(t, file, "--pool", "two")
	for _, q := range []string{"c", "a", "b"} {
		s.submit(q, 800, "{}")
	}
	for _, q := range []string{"c", "a", "b"} {
		s.must(s.client.Resume(s.ctx(), q))
	}
	equal := func(rate string, starts []proc.Entry, queues ...string) {
		t.Helper()
		n, first, last := share(starts)
		used := s.used(rate, len(starts), first, last)
		t.Logf("figure: a limit over %d pools: %v, %.2f %% of it used", len(queues), n, 100*used)
		fair := float64(len(starts)) / float64(len(queues))
		for _, q := range queues {
			if math.Abs(float64(n[q])-fair) > 0.1*fair {
				t.Errorf("queue %s has %d starts of %d; its share is %.0f", q, n[q], len(starts), fair)
			}
		}
		if used < 0.98 {
			t.Errorf("%.2f %% of the limit are used; the longest without a start was %v", 100*used, longest(starts))
		}
	}
	starts := s.journal.WaitStarts(500, 60*time.Second)
	equal(rate, starts, "a", "b")
	if n := len(s.journal.Starts(proc.OfQueue("c"))); n != 0 {
		t.Errorf("%d starts of the pool that has no worker", n)
	}
	proc.Worker(t, file, "--pool", "three")
	s.journal.WaitStarts(len(s.journal.Starts())+100, 20*time.Second) // it has its turns by then
	before := len(s.journal.Starts())
	starts = s.journal.WaitStarts(before+500, 60*time.Second)[before:]
	equal("40/1s", starts, "a", "b", "c") // nothing is saved up by then
	s.holds("limit api", rate, s.journal.Starts(), one)
}
