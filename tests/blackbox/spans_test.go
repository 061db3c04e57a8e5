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
			out[i].to = e.MonoNs
			continue
		}
		open[e.Fence] = len(out)
		end, killed := died[e.PID]
		if !killed {
			end = 1<<63 - 1
		}
		out = append(out, span{e.Task, e.MonoNs, end})
	}
	return out
}

// held are runs and what dead workers' leases held on after them, each until its task runs
// again: about so long its place is held.
func held(runs []span, left []proc.Entry, keep func(proc.Entry) bool) []span {
	out := slices.Clone(runs)
	for _, e := range left {
		if !keep(e) {
			continue
		}
		x := span{e.Task, e.MonoNs, 1<<63 - 1}
		for _, r := range runs {
			if r.task == e.Task && r.from > x.from {
				x.to = min(x.to, r.from)
			}
		}
		out = append(out, x)
	}
	return out
}

// left is what Redis holds for a worker that was just killed, whether its plugin began
// with it or not.
func (s *site) left(pid int) []proc.Entry {
	s.Helper()
	workers, err := s.client.Workers(s.ctx())
	s.must(err)
	var out []proc.Entry
	for _, w := range workers {
		if w.PID != pid {
			continue
		}
		runs, err := s.client.Runs(s.ctx(), w.ID)
		s.must(err)
		for _, r := range runs {
			task, err := s.client.Task(s.ctx(), r.Task)
			s.must(err)
			out = append(out, proc.Entry{Task: r.Task, Queue: r.Queue, Key: task.Key, MonoNs: monotonic(s.T)})
		}
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
