package pluginapi

import (
	"bytes"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/throttlerd/throttlerd/pluginapi/handlerpb"
)

// CancelReason is the form on the wire of a cause that ends a run. It is for hosts.
func CancelReason(cause error) handlerpb.CancelReason {
	switch cause {
	case ErrDraining:
		return handlerpb.CancelReason_CANCEL_REASON_DRAINING
	case ErrLeaseLost:
		return handlerpb.CancelReason_CANCEL_REASON_LEASE_LOST
	case ErrTimeout:
		return handlerpb.CancelReason_CANCEL_REASON_TIMEOUT
	}
	return handlerpb.CancelReason_CANCEL_REASON_TASK_CANCELLED
}

// EncodeTask turns a task into its form on the wire. It is for hosts; the
// result shares Payload and Headers with t. Deadline travels as the time left. The run
// begins between two instants, zero: no bound, which are for a plugin of this machine that
// [StartsAt] them.
func EncodeTask(t *Task, notBefore, notAfter time.Time) *handlerpb.Task {
	w := &handlerpb.Task{
		Id:          validText(t.ID),
		Queue:       validText(t.Queue),
		Type:        validText(t.Type),
		Key:         validText(t.Key),
		Attempt:     int32(t.Attempt),
		MaxAttempts: int32(t.MaxAttempts),
		Run:         t.Fence,
		Payload:     t.Payload,
		Headers:     validHeaders(t.Headers),
		SubmittedUs: toMicros(t.SubmittedAt),
		GrantedUs:   toMicros(t.GrantedAt),
	}
	if !t.Deadline.IsZero() {
		w.TimeoutUs = max(time.Until(t.Deadline).Microseconds(), 1) // 0 would be no bound
	}
	if !notBefore.IsZero() {
		w.StartMonoNs = sharedAt(notBefore)
	}
	if !notAfter.IsZero() {
		w.NotAfterMonoNs = sharedAt(notAfter)
	}
	return w
}

// DecodeResult turns a result from the wire into a Result. It is for hosts. An
// outcome that this version does not know counts as Failed; a result and an error that
// are too long are cut here, whatever the plugin was built with.
func DecodeResult(w *handlerpb.Result) Result {
	r := Result{
		Run:       w.Run,
		Outcome:   Failed,
		Result:    w.Result,
		Truncated: w.Truncated,
		Err:       w.Error,
		Delay:     time.Duration(w.DelayUs) * time.Microsecond,
		StartedAt: fromMicros(w.StartedUs),
		Took:      time.Duration(w.TookUs) * time.Microsecond,
		Limit:     w.Limit,
		Actual:    w.Actual,
		Reports:   decodeReports(w.Reports),
	}
	if o, known := outcomes[w.Outcome]; known {
		r.Outcome = o
	}
	if len(r.Result) > handlerpb.MaxResult {
		r.Result, r.Truncated = bytes.Clone(r.Result[:handlerpb.MaxResult]), true // the rest is let go
	}
	r.Err = cutText(r.Err, handlerpb.MaxError)
	return r
}

// decodeReports counts the time to a reset from now, when the message came in.
func decodeReports(list []*handlerpb.Report) []Report {
	if len(list) == 0 {
		return nil
	}
	now := time.Now()
	reports := make([]Report, len(list))
	for i, w := range list {
		reports[i] = Report{Limit: w.Limit, Remaining: w.Remaining}
		if w.ResetUs > 0 {
			us := min(w.ResetUs, handlerpb.MaxReset.Microseconds())
			reports[i].ResetAt = now.Add(time.Duration(us) * time.Microsecond)
		}
	}
	return reports
}

var outcomes = map[handlerpb.Outcome]Outcome{
	handlerpb.Outcome_OUTCOME_DONE:        Done,
	handlerpb.Outcome_OUTCOME_FAILED:      Failed,
	handlerpb.Outcome_OUTCOME_PERMANENT:   FailedForGood,
	handlerpb.Outcome_OUTCOME_RETRY_AFTER: FailedRetryAfter,
	handlerpb.Outcome_OUTCOME_THROTTLED:   SlowedDown,
	handlerpb.Outcome_OUTCOME_NOT_STARTED: NotStarted,
}

var wireOutcomes = map[Outcome]handlerpb.Outcome{
	Done:             handlerpb.Outcome_OUTCOME_DONE,
	Failed:           handlerpb.Outcome_OUTCOME_FAILED,
	FailedForGood:    handlerpb.Outcome_OUTCOME_PERMANENT,
	FailedRetryAfter: handlerpb.Outcome_OUTCOME_RETRY_AFTER,
	SlowedDown:       handlerpb.Outcome_OUTCOME_THROTTLED,
	NotStarted:       handlerpb.Outcome_OUTCOME_NOT_STARTED,
}

// decodeTask fills t from the wire; arrived is when the message came in.
func decodeTask(t *Task, w *handlerpb.Task, arrived time.Time) {
	t.ID, t.Queue, t.Type, t.Key = w.Id, w.Queue, w.Type, w.Key
	t.Attempt, t.MaxAttempts, t.Fence = int(w.Attempt), int(w.MaxAttempts), w.Run
	t.Payload, t.Headers = w.Payload, w.Headers
	t.SubmittedAt = fromMicros(w.SubmittedUs)
	t.GrantedAt = fromMicros(w.GrantedUs)
	if w.TimeoutUs > 0 {
		t.Deadline = arrived.Add(time.Duration(w.TimeoutUs) * time.Microsecond)
	}
}

func encodeResult(r Result) *handlerpb.Result {
	return &handlerpb.Result{
		Run:       r.Run,
		Outcome:   wireOutcomes[r.Outcome],
		Result:    r.Result,
		Truncated: r.Truncated,
		Error:     r.Err,
		DelayUs:   r.Delay.Microseconds(),
		StartedUs: toMicros(r.StartedAt),
		TookUs:    r.Took.Microseconds(),
		Limit:     r.Limit,
		Actual:    r.Actual,
		Reports:   encodeReports(r.Reports),
	}
}

func encodeReports(reports []Report) []*handlerpb.Report {
	if len(reports) == 0 {
		return nil
	}
	now := time.Now()
	list := make([]*handlerpb.Report, len(reports))
	for i, r := range reports {
		list[i] = &handlerpb.Report{Limit: r.Limit, Remaining: r.Remaining}
		if !r.ResetAt.IsZero() {
			list[i].ResetUs = max(r.ResetAt.Sub(now).Microseconds(), 0)
		}
	}
	return list
}

// limitName is the name under which a limit goes out: "" is the queue's own. One that is
// too long is cut to what is too long still, and bad UTF-8 leaves a sign that no name
// has: it is the host that refuses names.
func limitName(s string) string {
	if s == "" {
		return "queue"
	}
	return cutText(s, 2*handlerpb.MaxLimitName)
}

// validText returns s as valid UTF-8: on the wire one bad string would fail the
// whole batch.
func validText(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func validHeaders(headers map[string]string) map[string]string {
	valid := true
	for k, v := range headers {
		valid = valid && utf8.ValidString(k) && utf8.ValidString(v)
	}
	if valid {
		return headers
	}
	out := make(map[string]string, len(headers))
	for k, v := range headers {
		out[validText(k)] = validText(v)
	}
	return out
}

func toMicros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us)
}
