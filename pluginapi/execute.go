package pluginapi

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/throttlerd/throttlerd/pluginapi/handlerpb"
)

// Result is how one run ended, as its host sees it.
type Result struct {
	Run       int64 // the Fence of the task
	Outcome   Outcome
	Result    []byte
	Truncated bool          // Result was over 64 KiB and has been cut
	Err       string        // empty when done; at most 4 KiB
	Delay     time.Duration // for FailedRetryAfter and SlowedDown
	Limit     string        // for SlowedDown: the limit that is frozen
	StartedAt time.Time     // just before the handler was entered; zero: not told
	Took      time.Duration // how long Handle ran

	// Actual and Reports are what the handler said by Task.ActualCost and
	// Task.Report, with any outcome.
	Actual  map[string]int64
	Reports []Report
}

// Execute runs one task as a plugin process does: a panic becomes a failure (also one of
// the error's own methods),
// the error becomes an outcome, result and error text are cut to their bounds.
// It is for programs that call a Handler without a process; plugins need only
// Serve. progress is called with each Task.Progress; it may be nil.
func Execute(ctx context.Context, h Handler, t *Task, progress func(Progress)) Result {
	f := &feedback{progress: progress}
	r := execute(ctx, h, t, f, time.Now())
	r.Actual, r.Reports = f.close()
	return r
}

// execute is Execute, with feedback that its caller closes, and the instant of the start.
func execute(ctx context.Context, h Handler, t *Task, f *feedback, started time.Time) Result {
	run := t.Fence // the handler owns the task
	t.feedback = f
	r := handle(ctx, h, t)
	r.Run, r.StartedAt, r.Took = run, started, time.Since(started)
	return r
}

// handle runs the handler, and reads its error, which is the author's code too: a panic in
// either is a failed run.
func handle(ctx context.Context, h Handler, t *Task) (r Result) {
	defer func() {
		if p := recover(); p != nil {
			r = Result{Outcome: Failed, Err: cutText(fmt.Sprintf("panic: %v\n%s", p, panicStack()), handlerpb.MaxError)}
		}
	}()
	out, err := h.Handle(ctx, t)
	r.Outcome, r.Delay, r.Limit = classify(err)
	if err != nil {
		r.Err = cutText(err.Error(), handlerpb.MaxError)
		return r
	}
	if len(out) > handlerpb.MaxResult {
		out, r.Truncated = out[:handlerpb.MaxResult:handlerpb.MaxResult], true
	}
	r.Result = out
	return r
}

// panicStack returns the innermost frames of the code that panicked, without
// those of the recovery itself.
func panicStack() string {
	const frames = 8 // two lines each
	lines := strings.Split(string(debug.Stack()), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "panic(") && i+2 < len(lines) {
			lines = lines[i+2:]
			break
		}
	}
	return strings.Join(lines[:min(len(lines), 2*frames)], "\n")
}

// cutText bounds s to n bytes of valid UTF-8, which the wire demands.
func cutText(s string, n int) string {
	if len(s) > n {
		const mark = "…"
		s = s[:n-len(mark)]
		for len(s) > 0 && !utf8.RuneStart(s[len(s)-1]) {
			s = s[:len(s)-1]
		}
		if len(s) > 0 && s[len(s)-1] >= utf8.RuneSelf {
			s = s[:len(s)-1]
		}
		s += mark
	}
	return validText(s)
}
