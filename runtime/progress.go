package runtime

import (
	"context"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/scheduler"
)

// retell is how often progress is told that has not changed, so that it is kept.
const retell = 20 * time.Second

// progress takes what runs tell; the next tick passes the last on.
func (h *handler) progress(list []pluginapi.Progress) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	for _, p := range list {
		if r := h.w.runs[p.Run]; r != nil && r.h == h {
			r.progress = &scheduler.Progress{
				Task: r.grant.ID, Queue: r.grant.Queue, Percent: p.Percent, Note: p.Note, At: now, Fence: p.Run,
			}
		}
	}
}

// teller tells of the progress of runs when it has changed, under one lease.
type teller struct {
	told map[int64]scheduler.Progress // by fence
	at   time.Time
}

// tellAtOnce is the most runs that one tick tells of; the rest comes with the next.
const tellAtOnce = 500

func (t *teller) tell(ctx context.Context, w *Worker, ses *scheduler.Session) error {
	now := w.told()
	var changed []scheduler.Progress
	var over []int64
	for fence, p := range now {
		if p != t.told[fence] && len(changed) < tellAtOnce {
			changed = append(changed, p)
		}
	}
	for fence := range t.told {
		if _, runs := now[fence]; !runs && len(over) < tellAtOnce {
			over = append(over, fence)
		}
	}
	if len(changed)+len(over) == 0 && (len(t.told) == 0 || time.Since(t.at) < retell) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := ses.TellProgress(ctx, changed, over); err != nil {
		return err
	}
	if t.told == nil {
		t.told = make(map[int64]scheduler.Progress)
	}
	for _, p := range changed {
		t.told[p.Fence] = p
	}
	for _, fence := range over {
		delete(t.told, fence)
	}
	t.at = time.Now()
	return nil
}

// told is the progress of the runs that have told any.
func (w *Worker) told() map[int64]scheduler.Progress {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out map[int64]scheduler.Progress
	for fence, r := range w.runs {
		if r.progress == nil {
			continue
		}
		if out == nil {
			out = make(map[int64]scheduler.Progress)
		}
		out[fence] = *r.progress
	}
	return out
}
