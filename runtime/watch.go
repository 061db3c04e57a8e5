package runtime

import (
	"context"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
)

const (
	watchEvery = 250 * time.Millisecond
	// killAfter: a handler that ignores the end of its context is killed then, with
	// its process; and a process that was replaced and does not leave.
	killAfter = 5 * time.Second
)

// watch looks after what handlers ignore: a deadline that passes, a cancellation that
// changes nothing. The plugin ends a task's context at its deadline by itself; this is
// for plugins that hang or do not care.
func (w *Worker) watch(ctx context.Context) {
	t := time.NewTimer(watchEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.placed: // while nothing runs, this sleeps
		}
		for left := true; left; {
			t.Reset(watchEvery)
			select {
			case <-ctx.Done():
				return
			case now := <-t.C:
				left = w.watchOnce(now)
			}
		}
	}
}

// grace is how long a run may go on after the end of its context: not long when its
// lease is lost, since another worker is about to run the task.
func grace(r *run) time.Duration {
	if r.cause == pluginapi.ErrLeaseLost {
		return time.Second
	}
	return killAfter
}

// watchOnce tells whether there is a run that it will have to look at again.
func (w *Worker) watchOnce(now time.Time) (left bool) {
	kill := make(map[*place]*handler)
	w.mu.Lock()
	for _, r := range w.runs {
		left = left || r.place != nil
		if r.place == nil || now.Before(r.ends.Add(watchEvery)) {
			continue
		}
		if r.cause == nil {
			w.cancelRun(r, pluginapi.ErrTimeout)
		} else if now.After(r.ends.Add(grace(r))) && r.ignored.IsZero() {
			r.ignored = now
			kill[r.place] = r.h
		}
	}
	w.mu.Unlock()
	for p, h := range kill {
		p.process.Kill()
		if _, ok := h.backend.(*goBackend); ok {
			w.log.Error("a task ignores the end of its context and holds its slot", "handler", h.name)
		} else {
			w.log.Error("plugin killed: a task ignored the end of its context", "handler", h.name)
		}
	}
	return left
}
