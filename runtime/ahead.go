package runtime

import (
	"time"

	"github.com/throttlerd/throttlerd/scheduler"
)

// Tasks ahead. A worker whose tasks end as fast as Redis can be asked would have its
// handlers wait for each answer. Of queues without limits it takes as many tasks more as
// end during two exchanges, at most as many as there are slots; they wait here for a slot,
// in order, and go back when none comes within the look-ahead. Tasks under a limit never do: a token is spent
// when its task starts.

// wantAhead is how many tasks a claim takes beyond the free slots of a handler. Under w.mu.
func (w *Worker) wantAhead(h *handler, free int, now time.Time) int {
	most := min(h.slots, scheduler.MaxClaim-free) - h.ahead
	if w.o.Lookahead == 0 || most <= 0 {
		return 0
	}
	return max(0, min(most, h.pace.during(2*w.trip, now)-h.ahead))
}

// took notes how long an exchange was under way.
func (w *Worker) took(d time.Duration) {
	w.mu.Lock()
	w.trip += (d - w.trip) / tripOver
	w.mu.Unlock()
}

// hasSlot tells whether a task of the handler may start at once. Under w.mu.
func (w *Worker) hasSlot(h *handler) bool {
	return h.busy < h.slots && w.free > 0 && h.ahead == 0
}

// takeSlot books a slot for the run. Under Worker.mu.
func (r *run) takeSlot() {
	r.slot = true
	r.h.busy++
	r.h.w.free--
}

// wait puts a run that may start at once in line for a slot. Under w.mu.
func (w *Worker) wait(r *run) {
	r.h.ready = append(r.h.ready, r)
	r.h.ahead++
	if !w.minding {
		w.minding = true
		time.AfterFunc(w.o.Lookahead, w.mindReady)
	}
}

// released gives slots that have become free to the runs that wait for one, and returns
// those, and a suspect of each handler that may run now. Under w.mu.
func (w *Worker) released() []*run {
	var out []*run
	for _, h := range w.handlers {
		if r := h.nextSuspect(); r != nil {
			out = append(out, r)
		}
		for h.ahead > 0 && h.busy < h.slots && w.free > 0 {
			r := h.ready[0]
			h.ready = h.ready[1:]
			if w.runs[r.grant.Fence] != r {
				continue // cancelled meanwhile
			}
			h.ahead--
			r.takeSlot()
			out = append(out, r)
		}
	}
	return out
}

// mindReady hands back what has waited in vain: somebody else may have a slot for it.
func (w *Worker) mindReady() {
	w.mu.Lock()
	now := time.Now()
	w.minding = false
	for _, h := range w.handlers {
		for h.ahead > 0 && now.Sub(h.ready[0].start) >= w.o.Lookahead {
			h.pace = pace{at: now} // they are not that fast any more
			r := h.ready[0]
			h.ready = h.ready[1:]
			if w.runs[r.grant.Fence] == r {
				w.finish(r, scheduler.Outcome{Kind: scheduler.GiveBack, Number: 1})
			}
		}
		if h.ahead == 0 {
			h.ready = nil
		} else if !w.minding {
			w.minding = true
			time.AfterFunc(w.o.Lookahead, w.mindReady)
		}
	}
	w.mu.Unlock()
	w.signal()
}

// pace is how many tasks end a second, of late. Under Worker.mu.
type pace struct {
	perSecond float64
	at        time.Time
}

func (p *pace) done(n int, now time.Time) {
	passed := now.Sub(p.at)
	if passed <= 0 {
		return
	}
	p.at = now
	p.perSecond += (float64(n)/passed.Seconds() - p.perSecond) * min(1, passed.Seconds()/paceOver.Seconds())
}

// during is how many tasks end in a time.
func (p *pace) during(d time.Duration, now time.Time) int {
	p.done(0, now)
	return int(p.perSecond * d.Seconds())
}

// part is how many tasks end while a queue has its turn, one at least. Under w.mu.
func (w *Worker) part(now time.Time) int {
	n := 0
	for _, h := range w.handlers {
		n += h.pace.during(turnLasts, now)
	}
	return max(1, n)
}
