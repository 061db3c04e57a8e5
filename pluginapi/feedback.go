package pluginapi

import (
	"sync"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi/handlerpb"
)

// Report is what the upstream said of one of its limits.
type Report struct {
	Limit     string    // "queue" (also when empty), "key" or a named limit
	Remaining int64     // tokens left; a negative number counts as 0
	ResetAt   time.Time // when the upstream counts anew; zero: not told
}

// ActualCost says what the run really cost at a limit, in tokens: "queue" (also when
// empty), "key" or a named limit of the queue. The difference to what the task was
// charged is given back or taken when the run is settled; a limit of which nothing is
// said keeps the charge. The last call for a limit counts, a negative number as 0, and
// at most 16 limits.
//
// ActualCost and Report may be called from many goroutines at once. They count with any
// outcome, a failure or a panic too, but not when the run is called off or its process
// dies. Once Handle has returned they are ignored.
func (t *Task) ActualCost(limit string, tokens int64) {
	if t.feedback != nil && !t.feedback.cost(limitName(limit), max(tokens, 0)) && t.Log != nil {
		t.Log.Warn("actual cost ignored: the run has told that of as many limits as may be", "limit", limit, "most", handlerpb.MaxLimits)
	}
}

// Report says what the upstream has left at one of its limits, as its reply told. It may
// take tokens from the bucket of that limit and never adds any; with Remaining 0 the
// limit grants nothing until ResetAt (for 24 hours at most), on every worker. Several
// reports count together, the last 16 of a run. See ActualCost for the rest.
func (t *Task) Report(r Report) {
	if t.feedback != nil {
		r.Limit, r.Remaining = limitName(r.Limit), max(r.Remaining, 0)
		t.feedback.report(r)
	}
}

// Progress is how far a run is, for people.
type Progress struct {
	Run     int64  // the Fence of the task
	Percent int    // 0 to 100
	Note    string // at most 256 bytes
}

// Progress tells how far the run is: percent, from 0 to 100, and what it is at, cut at
// 256 bytes. throttlectl shows the last that was told while the task runs. It may be
// called as often as is handy, from many goroutines: at most ten a second go out. Once
// Handle has returned it is ignored.
func (t *Task) Progress(percent int, note string) {
	if t.feedback != nil {
		t.feedback.tell(Progress{Run: t.Fence, Percent: min(max(percent, 0), 100), Note: cutText(note, handlerpb.MaxNote)})
	}
}

// feedback gathers what the handler of one run says of limits, and passes on how far
// it is.
type feedback struct {
	progress func(Progress) // nil: nobody wants to know

	mu      sync.Mutex
	closed  bool
	full    bool // a cost was refused, and that was told
	actual  map[string]int64
	reports []Report
}

// cost is false the first time that there are too many limits to take one more.
func (f *feedback) cost(limit string, tokens int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return true
	}
	if _, known := f.actual[limit]; !known && len(f.actual) == handlerpb.MaxLimits {
		told := f.full
		f.full = true
		return told
	}
	if f.actual == nil {
		f.actual = make(map[string]int64)
	}
	f.actual[limit] = tokens
	return true
}

// report replaces one that says no more: in most runs that leaves one for each limit.
func (f *feedback) report(r Report) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	for i, old := range f.reports {
		if old.Limit == r.Limit && r.Remaining <= old.Remaining && !r.ResetAt.Before(old.ResetAt) {
			f.reports[i] = r
			return
		}
	}
	if len(f.reports) == handlerpb.MaxLimits {
		f.reports = append(f.reports[:0], f.reports[1:]...)
	}
	f.reports = append(f.reports, r)
}

// tell calls progress under the lock, so that nothing is told of a run that has ended.
func (f *feedback) tell(p Progress) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed && f.progress != nil {
		f.progress(p)
	}
}

// close returns what was said; what is said from here on is ignored.
func (f *feedback) close() (map[string]int64, []Report) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	return f.actual, f.reports
}
