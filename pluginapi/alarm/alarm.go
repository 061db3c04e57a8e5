// Package alarm releases things at their instants, on time also in an idle process: there a
// timer of Go is about a millisecond late, for the wait for it is counted in milliseconds. It
// is for hosts, and for what runs tasks in a plugin.
package alarm

import (
	"sync"
	"time"
)

// alarm rings at one instant, which can be changed while somebody waits. It never rings
// early, but it may ring for an instant that was changed since: who waits looks at the
// clock. set and close may be called from any goroutine, wait from one at a time.
type alarm interface {
	// set makes it ring at t, now if t has passed.
	set(t time.Time)
	// wait returns when it rings, false once it is closed.
	wait() bool
	// close ends a wait.
	close()
}

// timer is the alarm of systems that have no better one.
type timer struct {
	timer  *time.Timer
	closed chan struct{}
	once   sync.Once
}

func newTimer() alarm {
	a := &timer{timer: time.NewTimer(0), closed: make(chan struct{})}
	a.timer.Stop()
	return a
}

func (a *timer) set(t time.Time) { a.timer.Reset(time.Until(t)) }

func (a *timer) wait() bool {
	select {
	case <-a.timer.C:
		return true
	case <-a.closed:
		return false
	}
}

func (a *timer) close() {
	a.timer.Stop()
	a.once.Do(func() { close(a.closed) })
}
