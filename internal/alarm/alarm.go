// Package alarm wakes a goroutine at an instant, on time also in an idle process: there a
// timer of Go is about a millisecond late, for the wait for it is counted in milliseconds.
package alarm

import (
	"sync"
	"time"
)

// Alarm rings at one instant, which can be changed while somebody waits. It never rings
// early, but it may ring for an instant that was changed since: who waits looks at the
// clock. Set and Close may be called from any goroutine, Wait from one at a time.
type Alarm interface {
	// Set makes it ring at t, now if t has passed, or, with the zero Time, not at all.
	Set(t time.Time)
	// Wait returns when it rings, false once it is closed.
	Wait() bool
	// Close ends a Wait.
	Close()
}

// timer is the alarm of systems that have no better one.
type timer struct {
	timer  *time.Timer
	closed chan struct{}
	once   sync.Once
}

func newTimer() Alarm {
	a := &timer{timer: time.NewTimer(0), closed: make(chan struct{})}
	a.timer.Stop()
	return a
}

func (a *timer) Set(t time.Time) {
	if t.IsZero() {
		a.timer.Stop()
	} else {
		a.timer.Reset(time.Until(t))
	}
}

func (a *timer) Wait() bool {
	select {
	case <-a.timer.C:
		return true
	case <-a.closed:
		return false
	}
}

func (a *timer) Close() {
	a.timer.Stop()
	a.once.Do(func() { close(a.closed) })
}
