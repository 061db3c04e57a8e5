package alarm

import (
	"container/heap"
	"sync"
	"time"
)

// Line holds things until their instants, and then releases them in the order of these;
// those of one instant in the order in which they came. Its methods may be called from any
// goroutine.
type Line[T any] struct {
	release func([]T)
	alarm   alarm
	over    chan struct{}

	mu     sync.Mutex
	places places[T]
	count  int64
	next   time.Time // when the alarm rings; zero: not
}

// NewLine makes a line that calls release from a goroutine of its own, never for something
// whose instant has not come but as Add has it.
func NewLine[T any](release func([]T)) *Line[T] {
	l := &Line[T]{release: release, alarm: newAlarm(), over: make(chan struct{})}
	go l.loop()
	return l
}

// Add puts x in line for an instant, which may have passed. It may be released so much
// earlier as gather, when something else is released then.
func (l *Line[T]) Add(at time.Time, gather time.Duration, x T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count++
	heap.Push(&l.places, place[T]{at, gather, l.count, x})
	l.set(time.Now())
}

// Close ends the line, with what still is in it. It returns when release is called no more.
func (l *Line[T]) Close() {
	l.alarm.close()
	<-l.over
}

func (l *Line[T]) loop() {
	defer close(l.over)
	for l.alarm.wait() {
		for due := l.due(time.Now()); len(due) > 0; due = l.due(time.Now()) {
			l.release(due)
		}
	}
}

// due takes what is to be released now; where that is nothing, the alarm rings for the next.
func (l *Line[T]) due(now time.Time) (due []T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.places) > 0 && !l.places[0].at.After(now) {
		for len(l.places) > 0 && !l.places[0].at.After(now.Add(l.places[0].gather)) {
			due = append(due, heap.Pop(&l.places).(place[T]).x)
		}
		return due
	}
	l.next = time.Time{} // it has rung, maybe for one that was released since
	l.set(now)
	return nil
}

// rouse: a core that has slept for longer wakes slowly, so it is woken so long before an
// instant, and then again for it.
const rouse = time.Millisecond

// set has the alarm ring for the first, or before it. Under l.mu.
func (l *Line[T]) set(now time.Time) {
	if len(l.places) == 0 {
		return
	}
	at := l.places[0].at
	if at.Sub(now) > 2*rouse {
		at = at.Add(-rouse)
	}
	if l.next.IsZero() || at.Before(l.next) {
		l.next = at
		l.alarm.set(at)
	}
}

type place[T any] struct {
	at     time.Time
	gather time.Duration
	count  int64
	x      T
}

type places[T any] []place[T]

func (p places[T]) Len() int { return len(p) }
func (p places[T]) Less(i, j int) bool {
	if p[i].at.Equal(p[j].at) {
		return p[i].count < p[j].count
	}
	return p[i].at.Before(p[j].at)
}
func (p places[T]) Swap(i, j int) { p[i], p[j] = p[j], p[i] }
func (p *places[T]) Push(x any)   { *p = append(*p, x.(place[T])) }
func (p *places[T]) Pop() any {
	last := len(*p) - 1
	x := (*p)[last]
	(*p)[last] = place[T]{}
	*p = (*p)[:last]
	return x
}
