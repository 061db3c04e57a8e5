//go:build linux

package blackbox

import (
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/tests/proc"
)

// place is a cap and the runs that are under it.
type place struct {
	what  string
	cap   int
	under func(proc.Entry) bool
	full  bool // all its places are used while there is work
}

func ofKey(queue, key string) func(proc.Entry) bool {
	return func(e proc.Entry) bool { return e.Queue == queue && e.Key == key }
}

// Caps of a queue, of a limit and of keys hold through kills of workers that are replaced,
// and are used while there is work.
func TestCapsThroughKills(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	kills := 8
	if long() {
		kills = 50
	}
	file := s.file(`lease = "2s"`, s.echo(), limit("api", "concurrency = 10"),
		queue("a", `limits = ["api"]`, "concurrency = 6"), queue("b", `limits = ["api"]`, "key {\nconcurrency = 3\n}"),
		queue("alone", "concurrency = 5"), queue("keys", "key {\nconcurrency = 2\n}", "exception \"wide\" {\nconcurrency = 4\n}"))
	places := []place{
		{"limit api", 10, func(e proc.Entry) bool { return e.Queue == "a" || e.Queue == "b" }, true},
		{"queue a", 6, proc.OfQueue("a"), false}, // the limit may be full
		{"key k0 of b", 3, ofKey("b", "k0"), false},
		{"key k1 of b", 3, ofKey("b", "k1"), false},
		{"queue alone", 5, proc.OfQueue("alone"), true},
		{"key narrow", 2, ofKey("keys", "narrow"), true},
		{"key wide", 4, ofKey("keys", "wide"), true},
	}
	const payload = `{"sleep":"500ms"}`
	fill := func() { // no queue runs empty until the next time
		for _, q := range []string{"a", "alone"} {
			if s.show(q).Waiting < 150 {
				s.submit(q, 150, payload)
			}
		}
		if s.show("b").Waiting < 150 {
			s.submitKeys("b", 75, payload, "k0", "k1")
		}
		if s.show("keys").Waiting < 300 {
			s.submitKeys("keys", 150, payload, "narrow", "wide")
		}
	}
	workers := s.three(file)
	fill()
	s.journal.WaitStarts(30, 10*time.Second)
	began := monotonic(t)
	died := make(map[int]int64) // plugin processes, and when they were gone
	var left []proc.Entry
	for i := range kills {
		s.journal.WaitStarts(len(s.journal.Starts())+20, 20*time.Second)
		k := i % len(workers)
		plugin := s.plugin(workers[k])
		workers[k].Kill()
		s.noPlugin(plugin)
		died[plugin] = monotonic(t)
		left = append(left, s.left(workers[k].PID)...)
		workers[k] = proc.Worker(t, file)
		fill()
	}
	proc.Eventually(t, 20*time.Second, "the dead workers are reaped", func() bool {
		known, err := s.client.Workers(s.ctx())
		s.must(err)
		return len(known) == len(workers)
	})
	s.journal.WaitStarts(len(s.journal.Starts())+50, 20*time.Second) // the places that came free are taken
	fill()
	from, seen := monotonic(t), len(s.journal.Finishes())
	proc.Eventually(t, 30*time.Second, "150 more finish", func() bool { return len(s.journal.Finishes()) > seen+150 })
	to := monotonic(t)
	for _, p := range places {
		runs := s.runs(p.under, died)
		through := busy(held(runs, left, p.under), began, from)
		used, top := busy(runs, from, to), most(runs)
		t.Logf("figure: %s: of %d places %.2f used through %d kills, %.2f after them, at most %d at once", p.what, p.cap, through, kills, used, top)
		if top > p.cap {
			t.Errorf("%s: %d ran at once of %d", p.what, top, p.cap)
		}
		// on a busy machine it takes a while until a place that came free is taken again
		if least := 0.7 * float64(p.cap); p.full && (through < least || used < least) {
			t.Errorf("%s: of %d places only %.2f are used through kills, %.2f after them, though there is work", p.what, p.cap, through, used)
		}
		if n := most(within(runs, from, to)); p.full && n < p.cap {
			t.Errorf("%s: after the kills at most %d run at once of %d, though there is work", p.what, n, p.cap)
		}
	}
	for _, q := range []string{"a", "alone"} {
		s.audit(q, nil)
	}
	s.freed("api", "a", "b", "alone", "keys")
}

// freed demands that no place is held any more once nothing waits.
func (s *site) freed(limit string, queues ...string) {
	s.Helper()
	for _, q := range queues {
		_, err := s.client.Purge(s.ctx(), q)
		s.must(err)
	}
	proc.Eventually(s, 10*time.Second, "no place is held any more", func() bool {
		held := s.limit(limit).Running
		for _, q := range queues {
			held += s.show(q).Running
		}
		return held == 0
	})
}
