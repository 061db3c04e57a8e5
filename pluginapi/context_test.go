package pluginapi

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestTaskContextMakesNothingUnlessAsked(t *testing.T) {
	c := &taskContext{parent: t.Context(), deadline: time.Now().Add(time.Hour)}
	if d, ok := c.Deadline(); !ok || d != c.deadline {
		t.Error("no deadline")
	}
	c.release()
	if c.inner != nil {
		t.Error("a context was made")
	}
	if c.Err() != context.Canceled || context.Cause(c) != context.Canceled {
		t.Errorf("who asks after the run is told %v", c.Err())
	}
}

func TestTaskContextPassesCauseOn(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(*taskContext, context.CancelCauseFunc)
		want error
		err  error
	}{
		{"cancelled before anybody asks", func(c *taskContext, _ context.CancelCauseFunc) { c.end(ErrTaskCancelled) }, ErrTaskCancelled, context.Canceled},
		{"the host is gone", func(_ *taskContext, p context.CancelCauseFunc) { p(ErrLeaseLost) }, ErrLeaseLost, context.Canceled},
		{"deadline", func(c *taskContext, _ context.CancelCauseFunc) { <-c.Done() }, ErrTimeout, context.DeadlineExceeded},
		{"handler returned", func(c *taskContext, _ context.CancelCauseFunc) { c.Done(); c.release() }, context.Canceled, context.Canceled},
	} {
		parent, cancel := context.WithCancelCause(t.Context())
		ctx := &taskContext{parent: parent, deadline: time.Now().Add(20 * time.Millisecond)}
		c.end(ctx, cancel)
		derived, stop := context.WithCancel(ctx)
		select {
		case <-derived.Done():
		case <-time.After(5 * time.Second):
			t.Fatalf("%s: no end", c.name)
		}
		if cause := context.Cause(derived); !errors.Is(cause, c.want) || !errors.Is(ctx.Err(), c.err) || context.Cause(ctx) != c.want {
			t.Errorf("%s: cause %v, error %v", c.name, cause, ctx.Err())
		}
		stop()
		ctx.release()
		cancel(nil)
	}
}
