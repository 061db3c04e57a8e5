package runtime

import (
	"context"
	"maps"
	"slices"
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

func (t *teller) tell(ctx context.Context, w *Worker, ses *scheduler.Session) error {
	now := w.told()
	if len(now) == 0 && len(t.told) == 0 || maps.Equal(now, t.told) && time.Since(t.at) < retell {
		return nil
	}
	if err := ses.TellProgress(ctx, slices.Collect(maps.Values(now))); err != nil {
		return err
	}
	t.told, t.at = now, time.Now()
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
