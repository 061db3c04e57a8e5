package model

import "github.com/throttlerd/throttlerd/ratelimit"

// place returns the limit at which a queue waits once its own limits let it start: the
// slowest of its next task's, or another one that it moved to; nil when it is under none.
func (q *Queue) place() *Limit {
	if q.moved != nil && q.needs(q.moved) > 0 {
		return q.moved
	}
	return q.head.slowest
}

// waits reports whether the queue may wait at a limit: its own limits let it start.
func (q *Queue) waits(now int64) bool {
	return q.head.Task != nil && (q.head.ready <= now || q.early)
}

// look finds what is next in each queue, and who is first at each limit.
func (w *World) look() {
	for _, q := range w.Queues {
		q.look(w.now)
	}
	w.line()
}

// line finds who is first at each limit. A queue that may not wait comes anew when it
// does, to its slowest limit.
func (w *World) line() {
	for _, l := range w.Limits {
		l.first = nil
	}
	for _, q := range w.Queues {
		if !q.waits(w.now) {
			q.moved, q.since, q.moves = nil, 0, 0
		} else if l := q.place(); l != nil && (l.first == nil || q.before(l.first)) {
			l.first = q
		}
	}
}

// move lets a queue wait at another limit of its set, with its turn.
func (w *World) move(q *Queue, to *Limit) {
	q.moved, q.since = to, w.now
	q.moves++
	w.Moves++
	w.line()
}

// start returns the earliest instant at which all limits of a queue's next task have room
// for it, and the named one that comes to it last; nil for the queue's own and its key's.
func (w *World) start(q *Queue) (at int64, last *Limit) {
	at = max(w.now, q.head.ready)
	for _, c := range q.head.charges {
		if c.limit.named() {
			if t := w.room(c.limit, q, c.cost); t > at {
				at, last = t, c.limit
			}
		}
	}
	return at, last
}

// room returns the earliest instant from now on at which a limit has c tokens and a place
// for a queue, beside what it keeps for others. It is never while a place is missing, or
// while what is kept leaves no room at all.
func (w *World) room(l *Limit, q *Queue, c int64) int64 {
	k := w.kept(l, q)
	at := max(w.now, l.At(c))
	switch {
	case l.full(k.places):
		return ratelimit.Never
	case k.beside(l, at, c):
		return at
	case c+k.tokens <= l.Rates.Capacity():
		return max(w.now, l.At(c+k.tokens))
	}
	return ratelimit.Never
}
