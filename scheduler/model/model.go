// Package model is the rules by which a claim grants tasks, as a program: who is served,
// when, and what it costs, as docs/decisions/0002-turns-under-several-limits.md has them.
//
// It is for reading, and for tests to hold rules against. It keeps everything in plain
// slices and looks through all of it at every step. The scripts keep indexes. One worker serves
// one index (a pool and handler), so all that concerns several (wakes, leases, who else is
// idle) is not here. It knows no Redis.
//
// Read it in this order: [Limit], [Queue], place.go (where a queue waits and what is kept
// for it), claim.go (the grant), settle.go, take.go.
package model

import (
	"slices"
	"strings"
)

// World is all that a claim decides by. Its zero value is empty. Instants are µs; every
// call names its own, never before that of the last call.
type World struct {
	Limits []*Limit // the named ones, by name
	Queues []*Queue // by name
	Moves  int      // of queues from limit to limit

	now     int64
	fence   int64 // of the last grant
	seq     int64 // of the last task that began to wait
	ids     int   // of the last task submitted
	running map[int]*Task
	idle    bool // the last claim left slots free
}

// bring makes it now: overrides end, and tasks whose instant has come wait.
func (w *World) bring(now int64) {
	if now == w.now {
		return
	}
	w.now = now
	for _, l := range w.Limits {
		l.Bring(now)
	}
	for _, q := range w.Queues {
		q.Own.Bring(now)
		q.promote(w)
	}
}

// Limit returns the named limit, or nil.
func (w *World) Limit(name string) *Limit {
	i := slices.IndexFunc(w.Limits, func(l *Limit) bool { return l.Name == name })
	if i < 0 {
		return nil
	}
	return w.Limits[i]
}

// Queue returns the queue, or nil.
func (w *World) Queue(name string) *Queue {
	i := slices.IndexFunc(w.Queues, func(q *Queue) bool { return q.Name == name })
	if i < 0 {
		return nil
	}
	return w.Queues[i]
}

// SetLimit creates a named limit, or changes it at once; until an instant, or for good
// when that is 0.
func (w *World) SetLimit(now int64, name string, s Spec, until int64) *Limit {
	l := w.Limit(name)
	if l == nil {
		l = newLimit(name, s)
		w.Limits = append(w.Limits, l)
		slices.SortFunc(w.Limits, func(a, b *Limit) int { return strings.Compare(a.Name, b.Name) })
	}
	w.bring(now)
	l.set(s, until, now)
	return l
}

// SetQueue creates a queue, or changes it at once, for waiting tasks too. The rates hold
// until an instant, or for good when that is 0.
func (w *World) SetQueue(now int64, name string, s QueueSpec, until int64) *Queue {
	q := w.Queue(name)
	if q == nil {
		q = newQueue(name, s)
		w.Queues = append(w.Queues, q)
		slices.SortFunc(w.Queues, func(a, b *Queue) int { return strings.Compare(a.Name, b.Name) })
	}
	w.bring(now)
	q.Own.set(s.Spec, until, now)
	q.Held = s.Held
	q.setKeys(s.Keys, s.Exceptions, now)
	q.limits = nil
	for _, l := range w.Limits {
		if slices.Contains(s.Limits, l.Name) {
			q.limits = append(q.limits, l)
		}
	}
	for _, l := range q.lanes {
		for _, t := range l.waiting {
			t.charges = nil // under other limits from now on
		}
	}
	return q
}
