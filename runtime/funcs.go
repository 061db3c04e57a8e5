package runtime

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/runtime/pluginhost"
)

// goBackend runs a handler that is a Go value, a goroutine a task.
type goBackend struct {
	handler atomic.Pointer[pluginapi.Handler]
	log     hclog.Logger
	events  events

	mu   sync.Mutex
	runs map[int64]context.CancelCauseFunc
	wg   sync.WaitGroup
}

func newGoBackend(h pluginapi.Handler, log hclog.Logger) *goBackend {
	b := &goBackend{log: log, runs: make(map[int64]context.CancelCauseFunc)}
	b.handler.Store(&h)
	return b
}

func (b *goBackend) start(_ context.Context, e events) error {
	b.events = e
	e.up(b)
	return nil
}

// StartsAt says no: tasks come at their instants, without a way on which they could be late.
func (b *goBackend) StartsAt() bool { return false }

// Send runs each task in a goroutine.
func (b *goBackend) Send(tasks []pluginhost.Sending) {
	for _, s := range tasks {
		t := s.Task
		ctx, cancel := context.WithCancelCause(context.Background())
		ctx, stop := context.WithDeadlineCause(ctx, t.Deadline, pluginapi.ErrTimeout)
		if t.Log == nil {
			t.Log = b.log.With("task", t.ID, "queue", t.Queue, "attempt", t.Attempt)
		}
		b.mu.Lock()
		b.runs[t.Fence] = cancel
		b.mu.Unlock()
		b.wg.Add(1)
		h := *b.handler.Load()
		go func() {
			defer b.wg.Done()
			run := t.Fence // the handler owns the task
			r := pluginapi.Result{Run: run, Outcome: pluginapi.Failed, Err: "the handler ended its goroutine (runtime.Goexit)"}
			defer func() {
				stop()
				cancel(nil)
				b.mu.Lock()
				delete(b.runs, run)
				b.mu.Unlock()
				b.events.results([]pluginapi.Result{r})
			}()
			r = pluginapi.Execute(ctx, h, t, func(p pluginapi.Progress) { b.events.progress([]pluginapi.Progress{p}) })
		}()
	}
}

// Cancel ends the context of a run.
func (b *goBackend) Cancel(run int64, cause error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.runs[run]; c != nil {
		c(cause)
	}
}

// Kill does nothing: Go code cannot be ended from outside.
func (b *goBackend) Kill() {}

// stop waits for what runs.
func (b *goBackend) stop(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		b.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}
