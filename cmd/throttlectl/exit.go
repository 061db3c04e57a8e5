package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/runtime/config"
	"github.com/throttlerd/throttlerd/scheduler"
)

// Exit codes that scripts rely on.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitConflict    = 4
	exitUnreachable = 5
	exitTimeout     = 6
	exitInvalid     = 7
)

// usageError is a wrong flag, argument or name.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// payloadError is a file or a payload that cannot be used.
type payloadError struct{ error }

func (e *payloadError) Unwrap() error { return e.error }

// unconfirmedError is something destructive that nobody confirmed.
type unconfirmedError struct{ error }

// explainedError says in its own words what another error means.
type explainedError struct {
	text string
	err  error
}

func (e *explainedError) Error() string { return e.text }
func (e *explainedError) Unwrap() error { return e.err }

// timeoutError is a command that did not end in time although Redis had answered.
type timeoutError struct {
	after time.Duration
	err   error
}

func (e *timeoutError) Error() string {
	return fmt.Sprintf("timed out after %s: %v; --timeout gives it longer", span(e.after), e.err)
}
func (e *timeoutError) Unwrap() error { return e.err }

// classify gives an error its exit code and the word for it in JSON.
func classify(err error) (code int, word string) {
	var (
		usage       *usageError
		payload     *payloadError
		diagnostics config.Diagnostics
		notFound    *scheduler.NotFoundError
		unconfirmed *unconfirmedError
		invalid     *scheduler.InvalidError
		rate        *ratelimit.ParseError
		unknown     *ratelimit.UnknownLimitError
		capacity    *ratelimit.CapacityError
		timeout     *timeoutError
		denied      *notGrantedError
		away        *scheduler.UnreachableError
	)
	switch {
	case errors.As(err, &usage), errors.As(err, &rate), errors.As(err, &capacity):
		return exitUsage, "usage"
	case errors.As(err, &payload), errors.As(err, &diagnostics):
		return exitInvalid, "invalid"
	case errors.As(err, &invalid) && invalid.Payload:
		return exitInvalid, "invalid"
	case errors.As(err, &invalid):
		return exitUsage, "usage"
	case errors.As(err, &notFound), errors.As(err, &unknown):
		return exitNotFound, "not_found"
	case errors.As(err, &unconfirmed), errors.Is(err, scheduler.ErrQueueExists),
		errors.Is(err, scheduler.ErrTaskExists), errors.Is(err, scheduler.ErrConflict):
		return exitConflict, "conflict"
	case errors.As(err, &timeout), errors.As(err, &denied):
		return exitTimeout, "timeout"
	case errors.As(err, &away):
		return exitUnreachable, "unreachable"
	}
	return exitFailed, "failed"
}

// report prints an error and returns its exit code. A person gets the diagnostics of a
// file with its lines; a program gets them as a list.
func (a *app) report(err error) int {
	code, word := classify(err)
	var diagnostics config.Diagnostics
	found := errors.As(err, &diagnostics)
	if !a.json && !jsonAsked(a.args) {
		if found && diagnostics.Write(a.stderr, a.width(), false) == nil {
			return code
		}
		a.note("Error: %s", safeLines(err.Error()))
		return code
	}
	type object struct {
		Code        string              `json:"code"`
		Message     string              `json:"message"`
		Diagnostics *config.Diagnostics `json:"diagnostics,omitempty"`
	}
	o := object{Code: word, Message: err.Error()}
	if found {
		o.Diagnostics = &diagnostics
	}
	text, jerr := json.Marshal(map[string]object{"error": o})
	if jerr != nil {
		text = []byte(`{"error":{"code":"failed","message":"the error cannot be printed"}}`)
	}
	a.note("%s", asciiControls(text))
	return code
}

// jsonAsked looks for --json in a command line that may not have been parsed to its end.
func jsonAsked(args []string) bool {
	for _, arg := range args {
		switch arg {
		case "--":
			return false
		case "--json", "--json=true":
			return true
		}
	}
	return false
}

func (a *app) width() int {
	if f, ok := a.stderr.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil {
			return w
		}
	}
	return 78
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// expired tells whether an error is that of a context that ended. A socket's deadline,
// which is the context's, may fire a moment before the context does.
func expired(ctx context.Context, err error) bool {
	var away *scheduler.UnreachableError
	if !errors.As(err, &away) && !errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	deadline, ok := ctx.Deadline()
	return ok && time.Until(deadline) < 20*time.Millisecond
}

// cause is the innermost text of a connection's error: the layers around it only say
// again that something could not be reached.
func cause(err error) string {
	var away *scheduler.UnreachableError
	if errors.As(err, &away) {
		err = away.Err
	}
	if errors.Is(err, context.DeadlineExceeded) || os.IsTimeout(err) {
		return "no answer"
	}
	return err.Error()
}
