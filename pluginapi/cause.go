package pluginapi

import "errors"

// Why the context of a task ended; context.Cause(ctx) returns one of these.
var (
	// ErrTaskCancelled: somebody cancelled the task; its result is not wanted.
	ErrTaskCancelled = errors.New("task cancelled")
	// ErrDraining: the worker is going away; the task will run again, uncharged.
	ErrDraining = errors.New("worker draining")
	// ErrLeaseLost: the worker no longer owns the task; another may be running
	// it already, so stop having effects.
	ErrLeaseLost = errors.New("lease lost")
	// ErrTimeout: the deadline passed. ctx.Err() is context.DeadlineExceeded.
	ErrTimeout = errors.New("task timed out")
)
