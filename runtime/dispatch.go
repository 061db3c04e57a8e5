package runtime

import (
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/runtime/pluginhost"
	"github.com/throttlerd/throttlerd/scheduler"
)

const (
	// lateAfter: a task that would be sent later than this after its instant is handed
	// back. A reserved one, its plugin hands back too.
	lateAfter = 250 * time.Millisecond
	// holdSuspect: how long a suspect waits here for another one to end, postpone for how long
	// it goes back then.
	holdSuspect = 200 * time.Millisecond
	postpone    = time.Second
)

// dispatch starts runs whose instant has come or is near.
func (w *Worker) dispatch(runs []*run) {
	w.mu.Lock()
	back := len(w.outcomes)
	w.begin(runs)
	back = len(w.outcomes) - back
	w.mu.Unlock()
	if back > 0 {
		w.signal()
	}
}

// begin starts runs that have a slot, and those that get one of what ends here at once.
// Under w.mu.
func (w *Worker) begin(runs []*run) {
	now := time.Now()
	batches := make(map[*place][]pluginhost.Sending, 1)
	for ; len(runs) > 0; runs = w.released() {
		w.beginEach(runs, now, batches)
	}
	for p, tasks := range batches {
		p.process.Send(tasks) // under the lock, so that a down event comes before or after
	}
	select {
	case w.placed <- struct{}{}:
	default:
	}
}

// beginEach gathers runs whose instant has come, and those that are near it for processes
// that wait. Under w.mu.
func (w *Worker) beginEach(runs []*run, now time.Time, batches map[*place][]pluginhost.Sending) {
	for _, r := range runs {
		if w.runs[r.grant.Fence] != r {
			continue // its lease was lost
		}
		switch late := min(w.clock.late(now, r.engine), now.Sub(r.notBefore)); {
		case r.grant.Damaged != nil:
			w.finish(r, scheduler.Outcome{Kind: scheduler.Dead, Text: r.grant.Damaged.Error()})
		case r.cause != nil:
			w.finish(r, w.called(r, scheduler.Outcome{Kind: scheduler.GiveBack, Number: 1}))
		case late > lateAfter || now.After(r.notAfter):
			w.log.Warn("task handed back: it would start late", "queue", r.grant.Queue, "task", r.grant.ID, "late", late)
			w.finish(r, scheduler.Outcome{Kind: scheduler.GiveBack, Number: 1})
		case !r.h.isUp():
			w.finish(r, scheduler.Outcome{Kind: scheduler.GiveBack, Number: 1})
		default:
			p := r.h.place(lastChance(r))
			if p == nil {
				w.hold(r)
				continue
			}
			if !p.punctual && r.start.After(now) {
				w.starter.Add(r.start, 0, r)
				continue
			}
			if lastChance(r) {
				p.suspect = r
			}
			r.place = p
			p.busy++
			batches[p] = append(batches[p], r.sending(now))
		}
	}
}

// lastChance tells the tasks whose next part in a crash makes them dead as poison.
// They run one by one, so that a death of the process names its cause.
func lastChance(r *run) bool {
	return r.grant.Crashes > 0 && r.grant.Crashes >= r.h.maxCrashes-1
}

// sending is what the place of a run is sent. One that obeys it has the last look at when the
// run may begin: either of the two may have stood still meanwhile.
func (r *run) sending(now time.Time) pluginhost.Sending {
	var s pluginhost.Sending
	r.ends = now.Add(r.grant.Timeout)
	if r.bounded = r.place.punctual; r.bounded {
		s.NotAfter = r.notAfter
		if r.reserved {
			s.NotBefore = r.start // also when it has passed: they keep their order
			r.ends = r.start.Add(r.grant.Timeout)
		}
	}
	g := &r.grant
	s.Task = &pluginapi.Task{
		ID: g.ID, Queue: g.Queue, Type: g.Type, Key: g.Key, Headers: g.Headers, Payload: g.Payload,
		Attempt: g.Attempt, MaxAttempts: g.MaxAttempts, Fence: g.Fence,
		SubmittedAt: g.SubmittedAt, GrantedAt: g.GrantedAt, Deadline: r.ends,
	}
	return s
}

// finish takes a run off the books and lets its outcome be settled. Under w.mu.
func (w *Worker) finish(r *run, o scheduler.Outcome) {
	if r.ses == w.ses && w.ses != nil {
		o.Task, o.Fence = r.grant.Internal, r.grant.Fence
		w.outcomes = append(w.outcomes, o)
	}
	w.drop(r)
}

// drop takes a run off the books and frees its slot. Under w.mu.
func (w *Worker) drop(r *run) {
	delete(w.runs, r.grant.Fence)
	if r.slot {
		r.h.busy--
		w.free++
	} else {
		r.h.ahead--
	}
	r.leavePlace()
	w.checkQuiet()
}

// leavePlace takes a run off the books of its place. Under Worker.mu.
func (r *run) leavePlace() {
	if p := r.place; p != nil {
		p.busy--
		if p.suspect == r {
			p.suspect = nil
		}
		r.place = nil
		r.h.dismiss(p)
	}
}

// checkQuiet tells a drain that nothing runs any more, nor comes. Under w.mu.
func (w *Worker) checkQuiet() {
	if w.quiet != nil && len(w.runs) == 0 && !w.claiming && !w.behind {
		close(w.quiet)
		w.quiet = nil
	}
}

// called turns the outcome of a run that was called off into what calls for: a result
// in hand stands; else it is the cause that counts. Under w.mu.
func (w *Worker) called(r *run, o scheduler.Outcome) scheduler.Outcome {
	switch {
	case o.Kind == scheduler.Done:
		return o
	case r.cause == pluginapi.ErrTaskCancelled:
		return scheduler.Outcome{Kind: scheduler.Cancelled, Number: int64(b2i(r.place == nil)), Actual: o.Actual, Reports: o.Reports}
	case r.cause == pluginapi.ErrDraining:
		return scheduler.Outcome{Kind: scheduler.GiveBack, Number: int64(b2i(r.place == nil)), Actual: o.Actual, Reports: o.Reports}
	}
	return o
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
