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
	if leases <= w.holds(ses) {
		s.fences = nil
		return nil
	}
	now, found := time.Now(), map[int64]string{}
	all, err := ses.Leases(ctx)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ses != ses {
		return nil
	}
	for _, o := range w.outcomes {
		delete(all, o.Fence)
	}
	for fence, id := range all {
		if _, before := s.fences[fence]; w.runs[fence] == nil && (before || s.fences == nil) {
			found[fence] = id
		}
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
		w.log.Warn("task handed back: it was leased to this worker, which was never told", "task", id)
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
