package pluginapi

import (
	"time"

	"github.com/throttlerd/throttlerd/pluginapi/handlerpb"
)

// progressEvery is how often a session sends what its runs tell of their progress; of
// each run the latest. What is left of a run that ends goes out with its result.
const progressEvery = 100 * time.Millisecond

// progressList is what is to be sent. Guarded by session.mu.
type progressList struct {
	waiting map[int64]*handlerpb.Progress // by run; nil until a run tells something
	due     []*handlerpb.Progress         // of runs that have ended
	timer   *time.Timer                   // wakes the sender
	next    time.Time                     // when waiting goes out
}

// told takes what a run has told.
func (ses *session) told(p Progress) {
	ses.mu.Lock()
	defer ses.mu.Unlock()
	l := &ses.progress
	if len(l.waiting) == 0 {
		wait := max(time.Until(l.next), 0)
		if l.timer == nil {
			l.waiting = make(map[int64]*handlerpb.Progress)
			l.timer = time.AfterFunc(wait, ses.signal)
		} else {
			l.timer.Reset(wait)
		}
	}
	l.waiting[p.Run] = &handlerpb.Progress{Run: p.Run, Percent: int32(p.Percent), Note: p.Note}
}

// hurry lets what a run has told go out now: its result does.
func (l *progressList) hurry(run int64) {
	if p := l.waiting[run]; p != nil {
		delete(l.waiting, run)
		l.due = append(l.due, p)
	}
}

// take returns what is due.
func (l *progressList) take(now time.Time) []*handlerpb.Progress {
	list := l.due
	l.due = nil
	if len(l.waiting) > 0 && !now.Before(l.next) {
		for _, p := range l.waiting {
			list = append(list, p)
		}
		clear(l.waiting)
		l.next = now.Add(progressEvery)
	}
	return list
}

// DecodeProgress turns progress from the wire into Progress. It is for hosts.
func DecodeProgress(list []*handlerpb.Progress) []Progress {
	out := make([]Progress, len(list))
	for i, w := range list {
		out[i] = Progress{Run: w.Run, Percent: int(min(max(w.Percent, 0), 100)), Note: cutText(w.Note, handlerpb.MaxNote)}
	}
	return out
}
