package model

import "github.com/throttlerd/throttlerd/ratelimit"

// kept is what a limit leaves to others whose turn is older.
type kept struct {
	tokens int64
	places int
	by     int64 // when they need it
	lapsed bool  // they have waited long enough: kept only beside what others need
}

// beside reports whether a limit can give c tokens at t: what it keeps is there again when
// it is needed.
func (k kept) beside(l *Limit, t, c int64) bool {
	switch {
	case k.tokens == 0, len(l.Rates) == 0, k.lapsed && c+k.tokens > l.Rates.Capacity():
		return true
	case t == ratelimit.Never, l.Until > 0 && t >= l.Until:
		return false
	}
	after := l.Clone()
	after.Debit(t, c)
	return after.At(k.tokens) <= k.by
}

// kept returns what a limit keeps from a queue: for the oldest queue that needs it while
// it is first at another limit, and for a Take that asked.
func (w *World) kept(l *Limit, from *Queue) (k kept) {
	var oldest *Queue
	for _, other := range w.Limits {
		f := other.first
		if other == l || f == nil || f == from || !f.before(from) || oldest != nil && oldest.before(f) {
			continue
		}
		if kf := w.keeps(l, f); kf.tokens > 0 {
			oldest, k = f, kf
		}
	}
	if a := l.ask; a.until > w.now && a.turn <= from.turn {
		if k.tokens == 0 || a.at < k.by {
			k.by = a.at
		}
		k.tokens += a.cost
	}
	return k
}

// patience is how long a place is kept for a queue that waits at another limit: twice as
// long for each further move since its last grant.
func (q *Queue) patience() int64 { return patience << min(max(q.moves-1, 0), 20) }

const patience = 2_000_000

// keeps returns what a limit keeps for a queue that is first at another one.
//
// When that one has tokens is known. So what is kept here may be taken by others as long
// as it is there again by then. When a place will be free is not known, and until then all
// that is kept is lost to others. So tokens are kept no longer than they take to come
// again, unless the bucket holds those of others beside them; and places for a while that
// grows, so that a queue under two contended caps is served in the end.
func (w *World) keeps(l *Limit, f *Queue) kept {
	c := f.needs(l)
	if c == 0 || f.head.ready > w.now {
		return kept{}
	}
	k := kept{tokens: c, by: w.together(f)}
	switch {
	case k.by <= w.now:
		return kept{} // about to be served
	case k.by < ratelimit.Never:
		if k.by-w.now <= f.patience() {
			k.places = 1
		}
		if p := f.place(); f.moves == 0 && p.At(f.needs(p)) == k.by {
			k.lapsed = true
		}
	default:
		k.by, k.lapsed = w.now, w.now >= f.since+l.pace(c)
		if w.now < f.since+f.patience() {
			k.places = 1
		}
	}
	return k
}

// together is start as the limits alone have it, without what they keep.
func (w *World) together(q *Queue) int64 {
	at := q.head.ready
	for _, c := range q.head.charges {
		if c.limit.named() {
			if c.limit.full(0) {
				return ratelimit.Never
			}
			at = max(at, c.limit.At(c.cost))
		}
	}
	return at
}
