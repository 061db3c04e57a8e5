package model

import "slices"

// KeySpec bounds each key of a queue, or an exception one of them.
type KeySpec struct {
	Spec
	Weight int64 // share among the keys that have work; 0 is 1
}

// lane is the tasks of one key, in order.
type lane struct {
	key     string
	limit   *Limit
	weight  int64
	waiting []*Task // by seq: what is given back stands where it stood
	along   float64 // how far along it is: the cost of what was served, by its weight
	last    int64   // the start of the task granted last: none behind it starts before
}

func (l *lane) wait(t *Task) {
	t.charges = nil // found anew, at its head
	i, _ := slices.BinarySearchFunc(l.waiting, t, func(a, b *Task) int { return int(a.seq - b.seq) })
	l.waiting = slices.Insert(l.waiting, i, t)
}

// laneOf returns the lane of a key. One that was never used has a full bucket, and has
// been brought through every change of rates with it.
func (q *Queue) laneOf(key string) *lane {
	i := slices.IndexFunc(q.lanes, func(l *lane) bool { return l.key == key })
	if i >= 0 {
		return q.lanes[i]
	}
	l, limit := *q.fresh, *q.fresh.limit
	limit.Buckets = limit.Clone()
	l.key, l.limit = key, &limit
	q.lanes = append(q.lanes, &l)
	return &l
}

// setKeys changes what bounds the keys, of all at this instant.
func (q *Queue) setKeys(key KeySpec, exceptions map[string]KeySpec, now int64) {
	for k := range exceptions {
		q.laneOf(k) // as it was until now
	}
	for _, l := range append(q.lanes, q.fresh) {
		s, ok := exceptions[l.key]
		if !ok {
			s = key
		}
		l.limit.set(s.Spec, 0, now)
		l.weight = max(s.Weight, 1)
	}
}

// next chooses the lane that is served next, and the instant from which it may start: of
// those that their own limits let start now the one least far along, else the soonest.
func (q *Queue) next(now int64) (next *lane, ready int64) {
	for _, l := range q.lanes {
		if len(l.waiting) == 0 {
			continue
		}
		at := now
		if c := l.waiting[0].cost(l.limit); c > 0 {
			if l.limit.full(0) {
				continue
			}
			at = max(at, l.limit.At(c))
		}
		if next == nil || at < ready || at == ready && q.closer(l, next) {
			next, ready = l, at
		}
	}
	if next != nil {
		ready = max(ready, next.last)
	}
	return next, ready
}

// closer reports whether a is less far along than b. Who comes anew, or comes back from
// being blocked, is as far along as the lane that was served last: it catches up on
// nothing.
func (q *Queue) closer(a, b *lane) bool {
	x, y := max(a.along, q.served), max(b.along, q.served)
	return x < y || x == y && a.key < b.key
}

// serve takes the first task off a lane, and moves the lane on by cost ÷ weight: what it
// costs the queue or the key, whichever is more.
func (q *Queue) serve(l *lane, at int64) *Task {
	t := l.waiting[0]
	l.waiting = l.waiting[1:]
	l.last = at
	q.served = max(l.along, q.served)
	l.along = q.served + float64(max(t.cost(t.queue.Own), t.cost(l.limit), 1))/float64(l.weight)
	return t
}
