package runtime

import (
	"context"
	"time"

	"github.com/throttlerd/throttlerd/scheduler"
)

// straysAfter: a lease of which the worker has not heard for so long, it will not hear of.
var straysAfter = 2 * callTimeout

// strays are leases of this worker that it does not know of. Claims and messages give them all;
// where Redis has lost its last writes in between, one may be left, and nobody would ever run
// its task. It is given back.
type strays struct {
	since  time.Time
	fences map[int64]string // internal ids
}

// look is called with each beat, which told how many leases there are.
func (s *strays) look(ctx context.Context, w *Worker, ses *scheduler.Session, leases int) error {
	if s.fences == nil && leases <= w.holds(ses) {
		return nil
	}
	now, found := time.Now(), map[int64]string{}
	runs, err := w.o.Client.Runs(ctx, ses.ID())
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ses != ses {
		return nil
	}
	for _, r := range runs {
		if _, before := s.fences[r.Fence]; w.runs[r.Fence] == nil && (before || s.fences == nil) {
			found[r.Fence] = r.Task
		}
	}
	for _, o := range w.outcomes {
		delete(found, o.Fence)
	}
	if s.fences == nil {
		s.since = now
	}
	if s.fences = found; len(found) == 0 {
		s.fences = nil
		return nil
	}
	if now.Sub(s.since) < straysAfter {
		return nil
	}
	for fence, id := range found {
		w.log.Warn("task handed back: no run here is of its lease", "task", id)
		ses.Disown(fence)
		w.outcomes = append(w.outcomes, scheduler.Outcome{Task: id, Fence: fence, Kind: scheduler.GiveBack, Number: 1})
	}
	s.fences = nil
	w.signal()
	return nil
}

// holds is how many leases the worker knows of, but for those whose settle is under way.
func (w *Worker) holds(ses *scheduler.Session) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(w.outcomes)
	for _, r := range w.runs {
		if r.ses == ses {
			n++
		}
	}
	return n
}
