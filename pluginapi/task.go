package pluginapi

import (
	"regexp"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Task is one run of a task, as its handler sees it. The handler owns it,
// Payload and Headers included, until Handle returns.
type Task struct {
	ID    string
	Queue string
	Type  string // what a plugin may route by; may be empty
	Key   string // the key whose rate and order apply; may be empty

	Attempt     int   // from 1
	MaxAttempts int   // 0: without a bound
	Fence       int64 // the number of this run; no other run has it

	Payload []byte
	Headers map[string]string // nil when there are none

	// SubmittedAt and GrantedAt are instants of engine time, the clock of the limits,
	// to the microsecond: when the task was submitted, and when its tokens were taken.
	// No run starts before its GrantedAt.
	SubmittedAt time.Time
	GrantedAt   time.Time

	// Deadline is when ctx ends, on this machine's clock; zero: never.
	Deadline time.Time

	// Log writes to throttlerd's log. Its lines carry the task, its queue, its
	// attempt and, if it has one, the trace. It costs nothing until it is used.
	Log hclog.Logger

	feedback *feedback // what the handler says of limits and progress; nil outside of a run
}

// IdempotencyKey is the same for every attempt and every rerun of the task and for no
// other task of the namespace: what an upstream that knows such keys is to be sent.
func (t *Task) IdempotencyKey() string { return t.ID }

// TraceParent is the trace context that the task was submitted with, by the W3C
// specification in its header "traceparent"; empty if there is none, or no valid one. A
// middleware that continues the trace with OpenTelemetry begins with
//
//	ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier(t.Headers))
func (t *Task) TraceParent() string {
	if v := t.Headers["traceparent"]; traceparent.MatchString(v) {
		return v
	}
	return ""
}

var traceparent = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$`)
