package pluginapi

import (
	"context"
	"sync"
	"time"
)

// taskContext is the context of one run. The cancellable context beneath it,
// with its timer, is made when somebody first asks for it, because most short
// tasks never do.
type taskContext struct {
	parent   context.Context
	deadline time.Time

	mu       sync.Mutex
	inner    context.Context
	cancel   context.CancelCauseFunc
	stop     context.CancelFunc // ends the timer of the deadline
	released bool
}

func (c *taskContext) Deadline() (time.Time, bool) { return c.deadline, !c.deadline.IsZero() }
func (c *taskContext) Done() <-chan struct{}       { return c.get().Done() }
func (c *taskContext) Err() error                  { return c.get().Err() }

// Value asks the context beneath, which is also how context.Cause and derived
// contexts find it.
func (c *taskContext) Value(key any) any { return c.get().Value(key) }

func (c *taskContext) get() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inner == nil {
		c.inner, c.cancel = context.WithCancelCause(c.parent)
		if c.released { // a goroutine of the handler's outlives its run
			c.cancel(context.Canceled)
			return c.inner
		}
		if !c.deadline.IsZero() {
			c.inner, c.stop = context.WithDeadlineCause(c.inner, c.deadline, ErrTimeout)
		}
	}
	return c.inner
}

// end cancels with a cause that context.Cause returns, unless it has ended.
func (c *taskContext) end(cause error) {
	c.get()
	c.cancel(cause)
}

// calledOff tells whether somebody has ended the context, which its deadline is not. It
// makes none.
func (c *taskContext) calledOff() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inner == nil {
		return c.parent.Err() != nil
	}
	return c.inner.Err() != nil && context.Cause(c.inner) != ErrTimeout
}

// release frees what the context holds once the handler has returned.
func (c *taskContext) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.released = true
	if c.inner == nil {
		return
	}
	c.cancel(context.Canceled)
	if c.stop != nil {
		c.stop()
	}
}
