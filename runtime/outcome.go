package runtime

import (
	"math/rand/v2"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/scheduler"
)

// results takes what a backend reports. It is called from one goroutine at a time for
// a plugin, from many for Go handlers.
func (h *handler) results(list []pluginapi.Result) {
	w := h.w
	w.mu.Lock()
	for i := range list {
		r := w.runs[list[i].Run]
		if r == nil || r.h != h {
			continue
		}
		o := outcome(&list[i])
		if list[i].Outcome == pluginapi.NotStarted && r.bounded {
			if r.cause == nil && time.Now().Before(r.notAfter) {
				w.log.Warn("plugin has another clock: tasks are sent to it at their instants", "handler", h.name)
				r.place.punctual = false
			}
			r.leavePlace() // as if it had not been sent
			o = scheduler.Outcome{Kind: scheduler.GiveBack, Number: 1}
		}
		if refused := feedback(&o, &list[i]); refused != nil {
			w.log.Warn("ignored what a result says of limits", "handler", h.name, "queue", r.grant.Queue, "task", r.grant.ID, "reason", refused)
		}
		if r.cause != nil {
			o = w.called(r, o)
		}
		w.finish(r, o)
	}
	h.pace.done(len(list), time.Now())
	w.begin(w.released())
	w.mu.Unlock()
	w.signal()
}

func outcome(r *pluginapi.Result) scheduler.Outcome {
	switch r.Outcome {
	case pluginapi.Done:
		return scheduler.Outcome{Kind: scheduler.Done, Text: string(r.Result), Truncated: r.Truncated}
	case pluginapi.FailedForGood:
		return scheduler.Outcome{Kind: scheduler.Dead, Text: r.Err}
	case pluginapi.FailedRetryAfter:
		return scheduler.Outcome{Kind: scheduler.RetryIn, Number: r.Delay.Microseconds(), Text: r.Err}
	case pluginapi.SlowedDown:
		return scheduler.Outcome{Kind: scheduler.Throttled, Number: r.Delay.Microseconds(), Text: r.Err}
	case pluginapi.NotStarted:
		return failed("the plugin did not start it, without a reason to")
	}
	return failed(r.Err)
}

// failed leaves the delay to the queue's backoff; the random part of it is drawn here.
func failed(text string) scheduler.Outcome {
	return scheduler.Outcome{Kind: scheduler.Failed, Number: rand.Int64N(1_000_000), Text: text}
}

func timedOut(r *run) string {
	return "timed out after " + r.grant.Timeout.String()
}

// cancelRun ends the context of a run that the backend has, or one that waits for a slot.
// Under w.mu.
func (w *Worker) cancelRun(r *run, cause error) {
	if r.cause != nil && r.cause != pluginapi.ErrDraining {
		return
	}
	r.cause = cause
	r.ends = time.Now() // from here it has the grace to return
	switch {
	case r.place != nil:
		r.place.process.Cancel(r.grant.Fence, cause)
	case !r.slot: // nobody else would come to it soon
		w.finish(r, w.called(r, scheduler.Outcome{Kind: scheduler.GiveBack, Number: 1}))
		w.signal()
	}
}

// stop cancels the run of a task that somebody wants cancelled.
func (w *Worker) stop(internal string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.runs {
		if r.grant.Internal == internal && r.ses == w.ses {
			w.cancelRun(r, pluginapi.ErrTaskCancelled)
		}
	}
}
