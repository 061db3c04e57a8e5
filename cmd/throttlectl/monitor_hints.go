package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// hint is something to see to.
type hint struct {
	found string
	joint string // between both, in one line
	right string // what would be right, or what to type; "" where it passes by itself
	grave bool   // tasks wait that nobody would run
}

func (h hint) String() string { return h.found + h.joint + h.right }

// hints say in words what to see to, what matters most first.
func (s *snapshot) hints() []string {
	var out []string
	for _, f := range []func(*snapshot) []hint{
		(*snapshot).hintUnserved, (*snapshot).hintDown, (*snapshot).hintFull, (*snapshot).hintLost,
		(*snapshot).hintHeld, (*snapshot).hintFrozen, (*snapshot).hintFrozenLimits, (*snapshot).hintNever, (*snapshot).hintDead,
	} {
		for _, h := range f(s) {
			out = append(out, h.String())
		}
	}
	return out
}

// crowd are some queues of a kind, for a hint.
type crowd struct {
	names   []string
	waiting int64
}

func (c *crowd) add(q *sampled) { c.names, c.waiting = append(c.names, q.Name), c.waiting+q.Waiting }

func (c *crowd) String() string { return some(c.names) }

// some are the first names of many.
func some(names []string) string {
	const most = 3
	if len(names) <= most+1 {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %s more", strings.Join(names[:most], ", "), count(int64(len(names)-most)))
}

func waitOf(n int64) string {
	return plural(n, "task") + map[bool]string{true: " waits", false: " wait"}[n == 1]
}

func (s *snapshot) hintUnserved() (out []hint) {
	type place struct{ pool, handler string }
	by := map[place]*crowd{}
	for i := range s.queues {
		if q := &s.queues[i]; q.unserved() && q.Workers == 0 {
			p := place{q.Pool, q.Handler}
			if by[p] == nil {
				by[p] = &crowd{}
			}
			by[p].add(q)
		}
	}
	for p, c := range by {
		out = append(out, hint{fmt.Sprintf("%s, and %s in %s", nobody(p.pool, p.handler), waitOf(c.waiting), c), "; ", "start one: " + runPool(p.pool), true})
	}
	slices.SortFunc(out, func(a, b hint) int { return strings.Compare(a.found, b.found) })
	return out
}

func (s *snapshot) hintDown() (out []hint) {
	by, why := map[string][]string{}, map[string]string{}
	for _, w := range live(s.workers, s.at) {
		for _, h := range w.Down {
			by[h] = append(by[h], w.ID)
			if reason, _ := w.DownReason(h); reason != "" {
				why[h] = " (" + brief(reason) + ")"
			}
		}
	}
	for _, h := range slices.Sorted(maps.Keys(by)) {
		var c crowd
		for i := range s.queues {
			if q := &s.queues[i]; q.Handler == h && q.unserved() {
				c.add(q)
			}
		}
		found := fmt.Sprintf("handler %q is down on %s%s", h, some(by[h]), why[h])
		if c.waiting > 0 {
			found += fmt.Sprintf(", and %s in %s", waitOf(c.waiting), &c)
		}
		out = append(out, hint{found, ": ", "throttlectl handler show " + h, c.waiting > 0})
	}
	return out
}

func (s *snapshot) hintFull() (out []hint) {
	by := map[string]*crowd{}
	for i := range s.queues {
		if q := &s.queues[i]; q.starved() {
			if by[q.Handler] == nil {
				by[q.Handler] = &crowd{}
			}
			by[q.Handler].add(q)
		}
	}
	for _, h := range slices.Sorted(maps.Keys(by)) {
		out = append(out, hint{fmt.Sprintf("all slots of handler %q are taken, and %s in %s while tokens go unused", h, waitOf(by[h].waiting), by[h]), "; ",
			"raise its concurrency, or start another worker", false})
	}
	return out
}

func (s *snapshot) hintLost() (out []hint) {
	for _, w := range s.workers {
		if !w.Live(s.at) {
			out = append(out, hint{found: fmt.Sprintf("worker %s was last heard of %s ago and has lost its lease; its tasks are taken back", w.ID, span(age(w, s.at).Round(time.Second)))})
		}
	}
	return out
}

func (s *snapshot) hintHeld() (out []hint) {
	for _, held := range []struct{ word, does string }{
		{"paused", "throttlectl queue resume"},
		{"undeclared", "declare them again, or: throttlectl queue remove --force"},
		{"damaged", "their rate cannot be read, set it: throttlectl queue update --rate"},
	} {
		var c crowd
		for i := range s.queues {
			if q := &s.queues[i]; q.Held == held.word && q.Waiting > 0 {
				c.add(q)
			}
		}
		if c.waiting > 0 {
			out = append(out, hint{fmt.Sprintf("%s in %s queues: %s", waitOf(c.waiting), held.word, &c), "; ", held.does, held.word == "damaged"})
		}
	}
	return out
}

func (s *snapshot) hintFrozen() []hint {
	var c crowd
	var longest time.Duration
	for i := range s.queues {
		if q := &s.queues[i]; !q.FrozenUntil.IsZero() && q.Held == "" {
			c.add(q)
			longest = max(longest, q.FrozenUntil.Sub(q.At))
		}
	}
	if len(c.names) == 0 {
		return nil
	}
	return []hint{{found: fmt.Sprintf("upstream said slow down: %s frozen, for up to %s", &c, span(longest.Round(time.Second)))}}
}

// hintFrozenLimits are the named limits and keys at which queues wait for the end of a
// freeze.
func (s *snapshot) hintFrozenLimits() (out []hint) {
	by, longest := s.bound(func(q *sampled) bool { return q.Binding.Why == "frozen" && q.FrozenUntil.IsZero() })
	for _, limit := range slices.Sorted(maps.Keys(by)) {
		out = append(out, hint{found: fmt.Sprintf("upstream said slow down: %s frozen, for up to %s, and %s in %s",
			safe(limit), span(longest[limit].Round(time.Second)), waitOf(by[limit].waiting), by[limit])})
	}
	return out
}

func (s *snapshot) hintNever() (out []hint) {
	by, _ := s.bound(func(q *sampled) bool { return q.Binding.Why == "never" })
	for _, limit := range slices.Sorted(maps.Keys(by)) {
		out = append(out, hint{fmt.Sprintf("the next task of %s costs more than the capacity of %s", by[limit], safe(limit)), "; ", "raise its burst, or cancel the task", false})
	}
	return out
}

// bound are the queues whose next task a limit holds up, by that limit, and how long.
func (s *snapshot) bound(of func(*sampled) bool) (by map[string]*crowd, longest map[string]time.Duration) {
	by, longest = map[string]*crowd{}, map[string]time.Duration{}
	for i := range s.queues {
		q := &s.queues[i]
		if q.Binding == nil || q.Held != "" || !of(q) {
			continue
		}
		limit := q.Binding.Limit
		if by[limit] == nil {
			by[limit] = &crowd{}
		}
		by[limit].add(q)
		longest[limit] = max(longest[limit], q.Binding.Next.Sub(q.At))
	}
	return by, longest
}

func (s *snapshot) hintDead() []hint {
	var c crowd
	var dead int64
	for i := range s.queues {
		if q := &s.queues[i]; q.Dead > 0 {
			c.add(q)
			dead += q.Dead
		}
	}
	if dead == 0 {
		return nil
	}
	return []hint{{fmt.Sprintf("%s in %s", plural(dead, "dead task"), &c), ": ", "throttlectl dead list", false}}
}
