package model

import "github.com/throttlerd/throttlerd/ratelimit"

// Next returns the next instant after now that is worth a claim, or never.
func (w *World) Next(now int64) int64 {
	w.bring(now)
	w.look()
	next := int64(ratelimit.Never)
	soon := func(t int64) {
		if t > now {
			next = min(next, t)
		}
	}
	for _, q := range w.Queues {
		if len(q.later) > 0 {
			soon(q.later[0].At)
		}
		if q.head.Task != nil {
			soon(q.head.ready)
		}
		for _, l := range q.lanes { // another key may come before that
			if len(l.waiting) > 0 {
				soon(l.limit.At(l.waiting[0].cost(l.limit)))
			}
		}
	}
	for _, l := range w.Limits {
		soon(l.ask.until)
		if l.first == nil {
			continue
		}
		at, _ := w.start(l.first)
		soon(at)
		soon(w.room(l, l.first, l.first.needs(l)))
		soon(now + l.pace(l.first.needs(l))) // more of its queues may move
		if q := l.first; q.moves > 0 {       // what is kept for it lapses
			soon(q.since + q.patience())
			for _, c := range q.head.charges {
				soon(q.since + c.limit.pace(c.cost))
			}
		}
	}
	return next
}
