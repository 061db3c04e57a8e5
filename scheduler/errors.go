package scheduler

import (
	"errors"
	"fmt"
	"strings"
)

// Errors to branch on; what a person reads wraps them with names.
var (
	ErrQueueExists = errors.New("queue exists")
	ErrTaskExists  = errors.New("task exists")
	ErrLeaseLost   = errors.New("lease lost")
	ErrConflict    = errors.New("conflict")
)

// conflict is a sentence that stands for one of the above without its words.
type conflict struct {
	text string
	is   error
}

func (e *conflict) Error() string { return e.text }
func (e *conflict) Unwrap() error { return e.is }

func conflictf(is error, format string, args ...any) error {
	return &conflict{fmt.Sprintf(format, args...), is}
}

// NotFoundError says that nothing of that name is known.
type NotFoundError struct {
	Kind      string // "queue", "task", "worker", "limit"
	Name      string
	Namespace string
	Nearest   string // the most similar name there is, or ""
}

func (e *NotFoundError) Error() string {
	s := fmt.Sprintf("no %s %q in namespace %q", e.Kind, e.Name, e.Namespace)
	if e.Nearest != "" {
		s += fmt.Sprintf("; did you mean %q?", e.Nearest)
	}
	return s
}

// InvalidError says which value was refused and what would be right.
type InvalidError struct {
	What   string // "queue name", "payload", …
	Reason string
	// Payload tells a bad task (exit code 7) from a bad setting (2).
	Payload bool
}

func (e *InvalidError) Error() string { return e.What + " " + e.Reason }

// NotEmptyError says what a queue still holds.
type NotEmptyError struct {
	Queue                             string
	Waiting, Scheduled, Running, Dead int64
}

func (e *NotEmptyError) Error() string {
	return fmt.Sprintf("queue %q is not empty: %d waiting, %d scheduled, %d running, %d dead", e.Queue, e.Waiting, e.Scheduled, e.Running, e.Dead)
}

// Is makes a NotEmptyError a conflict.
func (e *NotEmptyError) Is(target error) bool { return target == ErrConflict }

// QueueFullError says that a queue holds as many waiting and scheduled tasks as it may.
type QueueFullError struct {
	Queue            string
	MaxLength, Holds int64
}

func (e *QueueFullError) Error() string {
	return fmt.Sprintf("queue %q is full: it holds %d waiting and scheduled tasks, max_length is %d", e.Queue, e.Holds, e.MaxLength)
}

// Is makes a QueueFullError a conflict.
func (e *QueueFullError) Is(target error) bool { return target == ErrConflict }

// OwnedError says that a file declares the queue, or the limit.
type OwnedError struct {
	Queue, Owner string
	Limit        string // instead of Queue
	Other        string // owner whose file would declare it too, or ""
}

func (e *OwnedError) Error() string {
	s := fmt.Sprintf("queue %q is declared by owner %q", e.Queue, e.Owner)
	if e.Limit != "" {
		s = fmt.Sprintf("limit %q is declared by owner %q", e.Limit, e.Owner)
	}
	if e.Other != "" {
		s += fmt.Sprintf(", so owner %q may not declare it; rename it, or let one file declare it", e.Other)
	}
	return s
}

// Is makes an OwnedError a conflict.
func (e *OwnedError) Is(target error) bool { return target == ErrConflict }

// UnreachableError says that no Redis answered. Whether a call that changes something
// took effect is then unknown.
type UnreachableError struct{ Err error }

func (e *UnreachableError) Error() string { return "redis: " + e.Err.Error() }
func (e *UnreachableError) Unwrap() error { return e.Err }

// TaskRefusedError says which task of several the limits of its queue do not take in;
// none of that call was.
type TaskRefusedError struct {
	Index int // of the call, from 0
	Err   error
}

func (e *TaskRefusedError) Error() string { return fmt.Sprintf("task %d: %s", e.Index+1, e.Err) }
func (e *TaskRefusedError) Unwrap() error { return e.Err }

// ReferencedError refuses to remove a limit that is in use.
type ReferencedError struct {
	Limit   string
	Queues  []string // that name it, 100 at most
	Running int64    // tasks that hold a place
}

func (e *ReferencedError) Error() string {
	if len(e.Queues) > 0 {
		return fmt.Sprintf("limit %q is in use by %d queues: %s; take it out of them first", e.Limit, len(e.Queues), strings.Join(e.Queues, ", "))
	}
	return fmt.Sprintf("limit %q is held by %d running tasks; wait until they have ended", e.Limit, e.Running)
}

// Is makes a ReferencedError an ErrConflict.
func (e *ReferencedError) Is(target error) bool { return target == ErrConflict }
