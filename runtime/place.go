package runtime

import (
	"slices"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/scheduler"
)

// place is one process of a handler with what it does. Guarded by Worker.mu.
type place struct {
	process process
	busy    int
	retired bool // takes no more tasks
	suspect *run // the one run that may be the last of its process: they run one by one

	punctual bool // it obeys the time in which a run may begin; else a task is sent at its instant
}

const (
	// sendAhead: how long before its instant a task is sent to a process that waits for it.
	// The way there takes half a millisecond, and where a machine stands still 10 now and then.
	sendAhead = 15 * time.Millisecond
	// gatherAhead: what would be sent within this time after another goes with it, so much
	// sooner.
	gatherAhead = time.Millisecond
)

// lineUp has a run wait for its start, or until it is near where a process can wait for the
// rest. It returns true for one whose start is near. Under w.mu.
func (w *Worker) lineUp(r *run) (near bool) {
	r.reserved = true
	switch {
	case lastChance(r) || !slices.ContainsFunc(r.h.places, func(p *place) bool { return p.punctual }):
		w.starter.Add(r.start, 0, r)
	case time.Until(r.start) > sendAhead+gatherAhead:
		w.starter.Add(r.start.Add(-sendAhead), gatherAhead, r)
	default:
		return true
	}
	return false
}

// place returns where the handler's next task runs: where the fewest do. Nil, when
// there is no such place; a suspect needs one without a suspect. Under w.mu.
func (h *handler) place(suspect bool) *place {
	var best *place
	for _, p := range h.places {
		if p.retired || suspect && p.suspect != nil {
			continue
		}
		if best == nil || p.busy < best.busy {
			best = p
		}
	}
	return best
}

// hold has a suspect wait with its slot until another one has ended; for a while, and in a
// quarter of the slots at most. Else it is postponed. Under w.mu.
func (w *Worker) hold(r *run) {
	if len(r.h.suspects) >= max(1, r.h.slots/4) {
		w.finish(r, scheduler.Outcome{Kind: scheduler.Postponed, Number: postpone.Microseconds()})
		return
	}
	r.h.suspects = append(r.h.suspects, r)
	time.AfterFunc(holdSuspect, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		i := slices.Index(r.h.suspects, r)
		if i < 0 {
			return
		}
		r.h.suspects = slices.Delete(r.h.suspects, i, i+1)
		switch {
		case w.runs[r.grant.Fence] != r:
			return // its lease was lost
		case r.cause != nil:
			w.finish(r, w.called(r, scheduler.Outcome{Kind: scheduler.GiveBack, Number: 1}))
		default:
			w.finish(r, scheduler.Outcome{Kind: scheduler.Postponed, Number: postpone.Microseconds()})
		}
		w.signal()
	})
}

// nextSuspect takes the suspect that may run now; nil when there is none. Under w.mu.
func (h *handler) nextSuspect() *run {
	for len(h.suspects) > 0 && h.place(true) != nil {
		r := h.suspects[0]
		h.suspects = h.suspects[1:]
		if h.w.runs[r.grant.Fence] == r {
			return r
		}
	}
	return nil
}

// isUp tells whether a place takes tasks. Under w.mu.
func (h *handler) isUp() bool {
	return slices.ContainsFunc(h.places, func(p *place) bool { return !p.retired })
}

// up: the handler takes tasks.
func (h *handler) up(p process) {
	w := h.w
	w.mu.Lock()
	h.places = append(h.places, &place{process: p, punctual: p.StartsAt()})
	for _, ix := range w.indexes {
		if ix.h == h {
			ix.want = true
		}
	}
	w.mu.Unlock()
	w.signal()
}

func (h *handler) retire(p process) {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	for _, x := range h.places {
		if x.process == p {
			x.retired = true
			h.dismiss(x)
		}
	}
}

// dismiss has a process that another one has replaced killed, when it has nothing to do any
// more and does not leave. Under w.mu.
func (h *handler) dismiss(p *place) {
	if !p.retired || p.busy > 0 {
		return
	}
	time.AfterFunc(killAfter, func() {
		h.w.mu.Lock()
		stays := slices.Contains(h.places, p)
		h.w.mu.Unlock()
		if stays {
			h.w.log.Error("plugin killed: it was replaced, has no tasks and does not leave", "handler", h.name)
			p.process.Kill()
		}
	})
}

// down: a process of the plugin is gone, with all that ran in it. Those that ignored
// their timeout have failed by it. Of the others, the one that ran as a suspect is
// taken to be the cause; without one, all of them have a part in it.
func (h *handler) down(gone process, err error) {
	w := h.w
	w.mu.Lock()
	at := slices.IndexFunc(h.places, func(p *place) bool { return p.process == gone })
	p := h.places[at]
	h.places = slices.Delete(h.places, at, at+1)
	killed := false
	for _, r := range w.runs {
		killed = killed || r.place == p && !r.ignored.IsZero()
	}
	suspect := p.suspect
	for _, r := range w.runs {
		if r.place == p {
			w.finish(r, h.bereft(r, killed, suspect, err))
		}
	}
	w.begin(w.released())
	w.mu.Unlock()
	w.signal()
}

// bereft is the outcome of a run whose process is gone. Under w.mu.
func (h *handler) bereft(r *run, killed bool, suspect *run, err error) scheduler.Outcome {
	switch {
	case r.cause == pluginapi.ErrTimeout && r.ignored.IsZero():
		return failed(timedOut(r) + "; then its plugin died")
	case r.cause == pluginapi.ErrTimeout:
		return failed(timedOut(r) + "; it ignored the end of its context, and its plugin was killed")
	case r.cause != nil:
		return h.w.called(r, scheduler.Outcome{Kind: scheduler.GiveBack})
	case killed || suspect != nil && suspect != r:
		return scheduler.Outcome{Kind: scheduler.GiveBack}
	}
	text := "the plugin process ended"
	if err != nil {
		text = err.Error()
	}
	return scheduler.Outcome{Kind: scheduler.Crashed, Number: int64(h.maxCrashes), Text: text}
}
