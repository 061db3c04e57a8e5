package model

// Start is one grant: the task is leased, and starts at that instant.
type Start struct {
	Task  int
	Queue string
	Key   string
	At    int64
}

// claim is one call of Claim.
type claim struct {
	*World
	horizon int64
	slots   int
	hold    int             // slots that reservations may still take; -1: not known yet
	barred  map[*Queue]bool // its own limits hold it back beyond this claim
	done    map[*Limit]bool // it waits beyond this claim, for its first queue
	left    map[*Limit]int  // queues that moved away from it
}

// Claim grants what may start now, and then reserves what may start within the
// look-ahead, for at most half of the slots that are left then, and at least one.
//
// Whoever can start at the earliest instant is next; at one instant, the oldest turn. So
// what can start now goes round by turns, a task each.
func (w *World) Claim(now, ahead int64, slots int) (starts []Start) {
	w.bring(now)
	w.look()
	c := claim{World: w, horizon: now + ahead, slots: slots, hold: -1, barred: map[*Queue]bool{}, done: map[*Limit]bool{}, left: map[*Limit]int{}}
	for c.slots > 0 {
		q, l := c.next()
		if q == nil {
			break
		}
		if s, ok := c.serve(q, l); ok {
			starts = append(starts, s)
		}
	}
	for _, q := range w.Queues {
		q.early = false
	}
	w.line()
	w.idle = c.slots > 0
	return starts
}

// next returns the queue that comes next, and the limit at which it is first; no limit
// when it waits for nothing but its own.
func (c *claim) next() (next *Queue, at *Limit) {
	soonest := c.horizon
	offer := func(t int64, q *Queue, l *Limit) {
		if t < soonest || t == soonest && (next == nil || q.before(next)) {
			soonest, next, at = t, q, l
		}
	}
	for _, q := range c.Queues {
		if q.head.Task != nil && !c.barred[q] && (!q.waits(c.now) || q.place() == nil) {
			offer(max(c.now, q.head.ready), q, nil)
		}
	}
	for _, l := range c.Limits {
		if q := l.first; q != nil && !c.done[l] {
			t, _ := c.start(q)
			if t > c.horizon { // to see what holds it up, once it is its turn
				t = c.room(l, q, q.needs(l))
			}
			offer(t, q, l)
		}
	}
	return next, at
}

// serve grants the next task of a queue that comes next, or finds what holds it up.
func (c *claim) serve(q *Queue, l *Limit) (s Start, granted bool) {
	if l == nil && q.place() != nil { // its own instant comes within the look-ahead
		q.early = true
		c.line()
		return s, false
	}
	at, last := c.start(q)
	if older := c.older(q, l); older != nil {
		last = older
	} else if at <= c.now || at <= c.horizon && c.mayReserve(q, at) {
		return c.grant(q, at), true
	}
	switch {
	case q.head.ready > c.now:
		q.early, c.barred[q] = false, true
		c.line()
	case last == l || c.hold == 0:
		c.done[l] = true
	default:
		c.heldUp(q, l, last)
	}
	return s, false
}

// older returns another limit of the queue's set at which a queue with an older turn
// waits. It waits there for what comes later, or it would have been served before.
func (c *claim) older(q *Queue, l *Limit) *Limit {
	for _, ch := range q.head.charges {
		if f := ch.limit.first; ch.limit != l && f != nil && f.before(q) {
			return ch.limit
		}
	}
	return nil
}

// mostMoves is how many queues may move away from a limit in one claim.
const mostMoves = 4

// heldUp decides what becomes of the first queue of l where another limit, by, holds it
// up. If whoever is first there needs l too, and gets there no later than its cost comes
// again at l, then l waits for it, and loses nothing. Else the queue moves there, and l
// goes on with those behind it. Where l has no rate, the pace is that of by.
func (c *claim) heldUp(q *Queue, l, by *Limit) {
	first := q
	if f := by.first; f != nil && f.before(q) {
		first = f
	}
	cost := first.needs(l)
	pace := l.pace(cost)
	if len(l.Rates) == 0 {
		pace = by.pace(first.needs(by))
	}
	at, _ := c.start(first)
	from := c.room(l, q, q.needs(l))
	if cost > 0 && at > c.now && at-from <= pace || c.left[l] == mostMoves {
		c.done[l] = true
		return
	}
	c.left[l]++
	c.move(q, by)
}

// mayReserve reports whether a task may be reserved for a coming instant. Not where its
// place would be held for nothing, nor where a limit that others share would be full until
// then and accrue nothing, nor beyond the end of an override, nor where credits
// are given, nor if what is kept for others were not there when they need it.
func (c *claim) mayReserve(q *Queue, at int64) bool {
	if c.hold < 0 {
		c.hold = (c.slots + 1) / 2
	}
	if c.hold == 0 {
		return false
	}
	for _, ch := range q.head.charges {
		l := ch.limit
		shared := l.named() || l == q.Own && q.head.Key != ""
		switch {
		case l.credits, l != q.Own && l.Cap > 0, shared && l.wouldWaste(at), l.Until > 0 && at >= l.Until:
			return false
		case l.named() && !c.kept(l, q).beside(l, at, ch.cost):
			return false
		}
	}
	return true
}

// grant leases the next task of a queue and debits its whole set at its start.
func (c *claim) grant(q *Queue, at int64) Start {
	t := q.serve(q.head.lane, at)
	for _, ch := range t.charges {
		ch.limit.take(at, ch.cost)
		ch.limit.Running++
	}
	if c.running == nil {
		c.running = map[int]*Task{}
	}
	c.running[t.ID] = t
	q.turn = c.turn()
	q.early, q.moved, q.since, q.moves = false, nil, 0, 0
	c.slots--
	if at > c.now {
		c.hold--
	}
	clear(c.done)
	q.look(c.now)
	c.line()
	return Start{t.ID, q.Name, t.Key, at}
}

// turn gives a fence: no two are equal, later ones are greater, and they are about the µs.
func (w *World) turn() int64 {
	w.fence = max(w.fence+1, w.now)
	return w.fence
}
