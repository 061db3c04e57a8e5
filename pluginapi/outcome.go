package pluginapi

import (
	"errors"
	"time"
)

// Outcome is how a run ended.
type Outcome int

// The outcomes. The zero value is none of them.
const (
	Done             Outcome = iota + 1 // result in hand
	Failed                              // retried with the queue's backoff
	FailedForGood                       // dead at once
	FailedRetryAfter                    // retried after Delay
	SlowedDown                          // uncharged, Limit frozen for Delay
	NotStarted                          // uncharged: it was called off before its instant, or came long after it
)

// String returns the outcome as logs spell it.
func (o Outcome) String() string {
	switch o {
	case Done:
		return "done"
	case Failed:
		return "failed"
	case FailedForGood:
		return "permanent"
	case FailedRetryAfter:
		return "retry_after"
	case NotStarted:
		return "not started"
	case SlowedDown:
		return "throttled"
	}
	return "unknown"
}

// Permanent marks err as one that no retry can help: the task is dead at once.
// errors.As and errors.Is see through it, and it may itself be wrapped by %w.
func Permanent(err error) error {
	return &PermanentError{Err: orElse(err, "permanent failure")}
}

// RetryAfter asks for the next attempt after d instead of the queue's backoff.
// The attempt is charged. A negative d counts as 0.
func RetryAfter(d time.Duration, err error) error {
	return &RetryAfterError{Delay: max(d, 0), Err: orElse(err, "retry asked for")}
}

// Throttled says that the upstream asked to slow down: the task goes back to
// the front of its queue without losing an attempt, and the queue grants nothing
// for d, on every worker. A negative d counts as 0.
func Throttled(d time.Duration, err error) error {
	return ThrottledLimit("", d, err)
}

// ThrottledLimit is Throttled for the limit that the upstream has spoken of: "queue"
// (also when empty), "key" for the task's key alone, or a named limit of the queue,
// which then grants nothing for d to any of its queues. What is no name counts as
// "queue".
func ThrottledLimit(limit string, d time.Duration, err error) error {
	return &ThrottledError{Limit: limit, Delay: max(d, 0), Err: orElse(err, "throttled by upstream")}
}

// PermanentError is what Permanent returns.
type PermanentError struct{ Err error }

func (e *PermanentError) Error() string { return e.Err.Error() }
func (e *PermanentError) Unwrap() error { return e.Err }

// RetryAfterError is what RetryAfter returns.
type RetryAfterError struct {
	Delay time.Duration
	Err   error
}

func (e *RetryAfterError) Error() string { return e.Err.Error() }
func (e *RetryAfterError) Unwrap() error { return e.Err }

// ThrottledError is what Throttled and ThrottledLimit return.
type ThrottledError struct {
	Limit string // "" is "queue"
	Delay time.Duration
	Err   error
}

func (e *ThrottledError) Error() string { return e.Err.Error() }
func (e *ThrottledError) Unwrap() error { return e.Err }

func orElse(err error, text string) error {
	if err == nil {
		return errors.New(text)
	}
	return err
}

// classify returns the outcome that err stands for, with its delay and its limit. The
// outermost mark wins.
func classify(err error) (Outcome, time.Duration, string) {
	if err == nil {
		return Done, 0, ""
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		switch e := e.(type) {
		case *PermanentError:
			return FailedForGood, 0, ""
		case *RetryAfterError:
			return FailedRetryAfter, e.Delay, ""
		case *ThrottledError:
			return SlowedDown, e.Delay, limitName(e.Limit)
		}
	}
	var ( // joined errors: the mark may sit in any branch
		permanent *PermanentError
		retry     *RetryAfterError
		throttled *ThrottledError
	)
	switch {
	case errors.As(err, &permanent):
		return FailedForGood, 0, ""
	case errors.As(err, &throttled):
		return SlowedDown, throttled.Delay, limitName(throttled.Limit)
	case errors.As(err, &retry):
		return FailedRetryAfter, retry.Delay, ""
	}
	return Failed, 0, ""
}
