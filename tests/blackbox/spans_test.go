//go:build linux

package blackbox

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/throttlerd/throttlerd/tests/proc"
)

// span is one run as the journal has it.
type span struct {
	task     string
	from, to int64
	killed   bool // it has no finish: it ended with its process
}

// runs are the spans of what keep holds for; a run that has no finish ends with its
// process, or has not ended.
func (s *site) runs(keep func(proc.Entry) bool, died map[int]int64) []span {
	var out []span
	open := make(map[int64]int)
	for _, e := range s.journal.Entries() {
		if !keep(e) {
			continue
		}
		if i, ok := open[e.Fence]; ok && e.Event == "finish" {
			out[i].to, out[i].killed = e.MonoNs, false
			continue
		}
		open[e.Fence] = len(out)
		end, killed := died[e.PID]
		if !killed {
			end = 1<<63 - 1
		}
		out = append(out, span{e.Task, e.MonoNs, end, killed})
	}
	return out
}

// held are runs with those that were killed until their task runs again: about so long
// the place of a dead worker's task is held.
func held(runs []span) []span {
	out := slices.Clone(runs)
	last := make(map[string]int)
	for i, r := range out {
		if k, ok := last[r.task]; ok && out[k].killed {
			out[k].to = r.from
		}
		last[r.task] = i
	}
	return out
}

// busy is how many of the spans lie over an instant between two, on average.
func busy(spans []span, from, to int64) float64 {
	var sum int64
	for _, x := range spans {
		sum += max(0, min(x.to, to)-max(x.from, from))
	}
	return float64(sum) / float64(to-from)
}

// within are the spans that lie over some instant between two.
func within(spans []span, from, to int64) []span {
	return slices.DeleteFunc(slices.Clone(spans), func(x span) bool { return x.to < from || x.from > to })
}

// most is how many spans lie over one instant at most.
func most(spans []span) int {
	type edge struct {
		at   int64
		step int
	}
	var edges []edge
	for _, x := range spans {
		edges = append(edges, edge{x.from, 1}, edge{x.to, -1})
	}
	slices.SortFunc(edges, func(a, b edge) int {
		if a.at != b.at {
			return int(min(max(a.at-b.at, -1), 1))
		}
		return a.step - b.step
	})
	now, top := 0, 0
	for _, e := range edges {
		now += e.step
		top = max(top, now)
	}
	return top
}

// monotonic is the clock of the journal.
func monotonic(t *testing.T) int64 {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		t.Fatal(err)
	}
	return ts.Nano()
}
