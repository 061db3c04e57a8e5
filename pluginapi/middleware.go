package pluginapi

import (
	"context"
	"time"
)

// Middleware stands around a handler: it is given the next one and returns what is
// called instead.
type Middleware func(next HandlerFunc) HandlerFunc

// Wrap returns h with middleware around it, the first one outermost. Its config and its
// description stay those of h.
func Wrap(h Handler, middleware ...Middleware) Handler {
	handle := HandlerFunc(h.Handle)
	for i := len(middleware) - 1; i >= 0; i-- {
		handle = middleware[i](handle)
	}
	return &before{handle, h}
}

// Observe is middleware that tells how each run ended, for metrics and logs: its
// outcome, its delay and its error as throttlerd is about to see them, when it was
// entered and how long it took. A handler that panics has Failed. observe is called
// from many goroutines at once.
func Observe(observe func(ctx context.Context, t *Task, r Result)) Middleware {
	return func(next HandlerFunc) HandlerFunc {
		return func(ctx context.Context, t *Task) (out []byte, err error) {
			r := Result{Run: t.Fence, Outcome: Failed, Err: "panic", StartedAt: time.Now()}
			defer func() {
				r.Took = time.Since(r.StartedAt)
				observe(ctx, t, r)
			}()
			out, err = next(ctx, t)
			r.Result, r.Err = out, ""
			if r.Outcome, r.Delay, r.Limit = classify(err); err != nil {
				r.Err = err.Error()
			}
			return out, err
		}
	}
}
