package model

import (
	"cmp"
	"slices"

	"github.com/throttlerd/throttlerd/ratelimit"
)

// QueueSpec is what can be set of a queue.
type QueueSpec struct {
	Spec
	Limits     []string // named limits that its tasks are under
	Keys       KeySpec  // of each key; nothing where tasks have none
	Exceptions map[string]KeySpec
	Held       bool // paused
}

// Queue is tasks in order, or in order for each key, and where it stands among others.
type Queue struct {
	Name string
	Own  *Limit
	Held bool

	limits []*Limit // by name
	fresh  *lane    // of a key that was never used, brought through all changes
	lanes  []*lane  // one without a name where there are no keys
	served float64  // how far along the lane served last was
	later  []*Task  // by instant

	turn  int64 // fence of the last grant
	head  head
	early bool   // in the claim under way, it waits at a limit ahead of its own instant
	moved *Limit // where it waits instead of at its slowest limit
	since int64  // when it moved there
	moves int    // since the last grant
}

// head is a queue's next task.
type head struct {
	*Task
	ready   int64  // from this instant the queue's own limits and its key's let it start
	slowest *Limit // the named one of its set where a token takes longest to come, or nil
}

// Task is one task. It costs a limit 1 unless Cost names it; at a cost of 0 it is not
// under that limit.
type Task struct {
	ID   int
	Key  string
	Cost map[string]int64 // by limit; "queue" and "key" are its queue's own and its key's
	At   int64            // not before

	queue   *Queue
	lane    *lane
	seq     int64    // order of becoming waiting
	charges []charge // what it costs each limit of its set; once leased, what it cost
}

// charge is what one task costs one limit.
type charge struct {
	limit *Limit
	cost  int64
}

func (t *Task) cost(l *Limit) int64 {
	if c, ok := t.Cost[l.Name]; ok {
		return c
	}
	return 1
}

func newQueue(name string, s QueueSpec) *Queue {
	q := &Queue{Name: name, Own: newLimit("queue", s.Spec), fresh: &lane{limit: newLimit("key", s.Keys.Spec)}}
	for key, e := range s.Exceptions {
		q.lanes = append(q.lanes, &lane{key: key, limit: newLimit("key", e.Spec)})
	}
	return q
}

// before reports whether the turn of q is older than that of o.
func (q *Queue) before(o *Queue) bool {
	return cmp.Or(cmp.Compare(q.turn, o.turn), cmp.Compare(q.Name, o.Name)) < 0
}

// Submit adds a task and returns its id.
func (w *World) Submit(now int64, queue string, t Task) int {
	w.bring(now)
	w.ids++
	t.ID, t.queue = w.ids, w.Queue(queue)
	t.queue.postpone(w, &t)
	return t.ID
}

// postpone schedules a task for its instant, which may have come.
func (q *Queue) postpone(w *World, t *Task) {
	i, _ := slices.BinarySearchFunc(q.later, t, func(a, b *Task) int {
		return cmp.Or(cmp.Compare(a.At, b.At), -1) // behind those of the same instant
	})
	q.later = slices.Insert(q.later, i, t)
	q.promote(w)
}

// promote lets the tasks wait whose instant has come.
func (q *Queue) promote(w *World) {
	for len(q.later) > 0 && q.later[0].At <= w.now {
		t := q.later[0]
		q.later = q.later[1:]
		w.seq++
		t.seq, t.lane = w.seq, q.laneOf(t.Key)
		t.lane.wait(t)
	}
}

// limits lists a task's set: its queue's own limit, its key's, and the named ones.
func (t *Task) limits() []*Limit {
	return append([]*Limit{t.queue.Own, t.lane.limit}, t.queue.limits...)
}

// charge finds what a task costs each limit of its set.
func (t *Task) charge() {
	for _, l := range t.limits() {
		if c := t.cost(l); c > 0 {
			t.charges = append(t.charges, charge{l, c})
		}
	}
}

// look finds the queue's head anew. There is none in a queue that is empty or held, and
// none that could start while a cap of the queue's own or of its keys is full. What costs
// more than a capacity in force is not in the turn, and delays nobody, until that ends.
func (q *Queue) look(now int64) {
	q.head = head{}
	l, ready := q.next(now)
	if l == nil || q.Held {
		return
	}
	t := l.waiting[0]
	if t.charges == nil {
		t.charge()
	}
	var slowest *Limit
	pace := int64(-1)
	for _, c := range t.charges {
		if c.limit == q.Own {
			if c.limit.full(0) {
				return
			}
			ready = max(ready, c.limit.At(c.cost))
		}
		ready = max(ready, c.limit.possible(c.cost))
		if p := c.limit.pace(1); c.limit.named() && p > pace {
			slowest, pace = c.limit, p
		}
	}
	if ready < ratelimit.Never {
		q.head = head{t, ready, slowest}
	}
}

// needs returns what the next task costs a limit: 0 when it is not under it.
func (q *Queue) needs(l *Limit) int64 {
	for _, c := range q.head.charges {
		if c.limit == l {
			return c.cost
		}
	}
	return 0
}
