package runtime

import (
	"container/heap"
	"sync"
	"time"
)

// starter releases runs at their instants of release, in order, never early. One goroutine
// waits on a thread of its own, since an idle process's timers are half a millisecond
// late.
type starter struct {
	release func([]*run)

	mu     sync.Mutex
	heap   runHeap
	closed bool
	alarm  alarm
	done   chan struct{}
}

// alarm waits for an instant or to be rung.
type alarm interface {
	wait(until time.Time) // zero: until rung
	ring()
	close()
}

func newStarter(release func([]*run)) (*starter, error) {
	a, err := newAlarm()
	if err != nil {
		return nil, err
	}
	s := &starter{release: release, alarm: a, done: make(chan struct{})}
	go s.loop()
	return s, nil
}

// add takes runs whose release lies ahead, or has just passed.
func (s *starter) add(runs []*run) {
	if len(runs) == 0 {
		return
	}
	s.mu.Lock()
	for _, r := range runs {
		heap.Push(&s.heap, r)
	}
	first := s.heap[0]
	s.mu.Unlock()
	for _, r := range runs {
		if r == first { // else somebody waits for an earlier one already
			s.alarm.ring()
			return
		}
	}
}

func (s *starter) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.alarm.ring()
	<-s.done
	s.alarm.close()
}

func (s *starter) loop() {
	defer close(s.done)
	lockThread()
	defer unlockThread()
	for {
		var until time.Time
		var due []*run
		s.mu.Lock()
		now := time.Now()
		for len(s.heap) > 0 && !s.heap[0].release.After(now) {
			due = append(due, heap.Pop(&s.heap).(*run))
		}
		if len(s.heap) > 0 {
			until = s.heap[0].release
		}
		closed := s.closed
		s.mu.Unlock()
		if closed {
			return
		}
		if len(due) > 0 {
			s.release(due)
			continue
		}
		s.alarm.wait(until)
	}
}

// runHeap orders runs by release, then by fence.
type runHeap []*run

func (h runHeap) Len() int { return len(h) }
func (h runHeap) Less(i, j int) bool {
	if h[i].release.Equal(h[j].release) {
		return h[i].grant.Fence < h[j].grant.Fence
	}
	return h[i].release.Before(h[j].release)
}
func (h runHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *runHeap) Push(x any)   { *h = append(*h, x.(*run)) }
func (h *runHeap) Pop() any {
	old := *h
	r := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return r
}
