package model

import "cmp"

// Outcome is what a worker reports of a task.
type Outcome struct {
	Again    int64            // 0 ends it; else it is scheduled for this instant
	Back     bool             // it waits again where it stood
	Actual   map[string]int64 // what the call really cost, where that differs
	Throttle *Throttle        // the upstream said slow down: Back, and a freeze
	Report   *Report          // what the upstream says is left
}

// Throttle freezes a limit of the task: "" or "queue" its queue's own, "key" its key's, or
// a named one.
type Throttle struct {
	Limit string
	Until int64
}

// Report lowers a limit of the task to what remains; none at all freezes it.
type Report struct {
	Limit     string
	Remaining int64
	ResetAt   int64
}

// maxFreeze bounds a freeze.
const maxFreeze = 24 * 3600 * 1_000_000

// Settle ends the lease of a running task: its places are free, and its limits get the
// difference to what it really cost, by what it was charged, not by what is set now.
func (w *World) Settle(now int64, id int, o Outcome) {
	t := w.running[id]
	if t == nil {
		return // settled before
	}
	w.bring(now)
	delete(w.running, id)
	for _, c := range t.charges {
		c.limit.Running--
		if actual, ok := o.Actual[c.limit.Name]; ok {
			c.limit.correct(c.cost, actual, now)
		}
	}
	if f := o.Throttle; f != nil {
		if l := t.limit(f.Limit); l != nil {
			l.Freeze(min(f.Until, now+maxFreeze))
		}
	}
	if r := o.Report; r != nil {
		if l := t.limit(r.Limit); l != nil {
			l.Lower(r.Remaining, now)
			if r.Remaining <= 0 {
				l.Freeze(min(r.ResetAt, now+maxFreeze))
			}
		}
	}
	switch {
	case o.Back || o.Throttle != nil:
		t.lane.wait(t)
	case o.Again > 0:
		t.At = o.Again
		t.queue.postpone(w, t)
	}
}

// correct credits what a call cost less than it was granted, or takes what it cost more.
// A bucket cannot tell whether a credit finds room in it while starts lie ahead. So from
// the first one on nothing is reserved under the limit, and those that come before the
// last of what was reserved has started are lost.
func (l *Limit) correct(granted, actual, now int64) {
	if actual >= granted {
		l.Owed += actual - granted
		l.Cut += l.Owe(actual-granted, l.DebtMax, now)
		return
	}
	l.credits = true
	if l.ahead <= now {
		l.Credited += granted - actual
		l.Credit(granted-actual, now)
	}
}

// limit returns the limit of a task's set with that name; "" is its queue's own.
func (t *Task) limit(name string) *Limit {
	for _, l := range t.limits() {
		if l.Name == cmp.Or(name, "queue") {
			return l
		}
	}
	return nil
}
