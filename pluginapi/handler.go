// Package pluginapi is what a handler plugin imports. It owns the contract
// between a handler and throttlerd: the Handler and Task types, the outcomes,
// the typed config, and Serve, which makes a plugin binary of a Handler. It
// knows neither Redis nor HCL nor how tasks are scheduled.
//
// A complete plugin:
//
//	func main() { pluginapi.Serve(pluginapi.HandlerFunc(hello)) }
//
//	func hello(ctx context.Context, t *pluginapi.Task) ([]byte, error) {
//		return append([]byte("hello, "), t.Payload...), nil
//	}
package pluginapi

import (
	"cmp"
	"context"
)

// Handler does the work of a task.
//
// Handle is called from many goroutines at once, up to the handler's
// concurrency. What it returns is the task's outcome:
//
//   - result, nil: done. A result over 64 KiB is cut and flagged.
//   - nil, error: failed; retried with the queue's backoff.
//   - an error that wraps Permanent, RetryAfter, Throttled or ThrottledLimit: see
//     there.
//   - a panic: failed, with the panic and a short stack as its error.
//
// Beside the outcome, Task.ActualCost and Task.Report tell of limits.
//
// Tasks run at least once: after the death of a worker a task may run again,
// with another Fence. ctx ends at the task's deadline, and earlier when the run
// is called off; context.Cause(ctx) tells why. A Handle that ignores the end of
// ctx is killed with its process after a while.
type Handler interface {
	Handle(ctx context.Context, t *Task) ([]byte, error)
}

// HandlerFunc makes a Handler of a function.
type HandlerFunc func(ctx context.Context, t *Task) ([]byte, error)

// Handle calls f.
func (f HandlerFunc) Handle(ctx context.Context, t *Task) ([]byte, error) { return f(ctx, t) }

// Configurable is a Handler that takes the config block of its handler.
// Configure is called once, before the first task, also when the block is empty
// or absent. An error refuses the config, and throttlerd does not start with
// it: return what Config.Decode returned, or BadAttribute, so that the user is
// shown the line at fault. A Handler that is not Configurable refuses every
// config block that is not empty.
type Configurable interface {
	Configure(ctx context.Context, c Config) error
}

// Describer is a Handler that says what it is. Describe may be called before
// Configure.
type Describer interface {
	Describe() Info
}

// Info describes a plugin.
type Info struct {
	Name      string   // "webhook"; by default the name of the binary
	Version   string   // "1.2.0"; may be empty
	Doc       string   // what it does, in one sentence; may be empty
	TaskTypes []string // types of task it knows; none: it does not look at the type

	// Config is what the config block takes, as SchemaOf has it. throttlerd refuses all
	// else with its line, before Configure; so do validate and plugin describe know it.
	// Nil: it is not declared, and Configure alone knows.
	Config []Attribute

	// Payloads are the fields of payloads by type of task, "" for every type; for people.
	Payloads map[string][]Attribute
}

// WithInfo returns h with what it says of itself replaced by what info says; fields of
// info that are empty stay as h has them.
func WithInfo(info Info, h Handler) Handler { return &informed{before{h.Handle, h}, info} }

type informed struct {
	before
	info Info
}

// Describe returns both together.
func (h *informed) Describe() Info {
	all := h.before.Describe()
	all.Name = cmp.Or(h.info.Name, all.Name)
	all.Version = cmp.Or(h.info.Version, all.Version)
	all.Doc = cmp.Or(h.info.Doc, all.Doc)
	if h.info.TaskTypes != nil {
		all.TaskTypes = h.info.TaskTypes
	}
	if h.info.Config != nil {
		all.Config = h.info.Config
	}
	if h.info.Payloads != nil {
		all.Payloads = h.info.Payloads
	}
	return all
}

// before is a handler that stands before another one, whose config and description
// are its own.
type before struct {
	HandlerFunc
	next Handler
}

func (b *before) Configure(ctx context.Context, c Config) error { return Configure(ctx, b.next, c) }
func (b *before) Describe() Info                                { return describe(b.next) }
