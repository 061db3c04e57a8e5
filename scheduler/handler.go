package scheduler

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// HandlerState is what a worker says of a handler that is a plugin.
type HandlerState struct {
	Handler   string         `json:"handler"`
	Plugin    string         `json:"plugin"` // the name and version that it gives itself
	Version   string         `json:"version"`
	Processes []ProcessState `json:"processes"`

	// LastError is why a process died or did not start, the last time one did; Stderr
	// is what it wrote last.
	LastError   string    `json:"last_error,omitempty"`
	LastErrorAt time.Time `json:"last_error_at,omitzero"`
	Stderr      []string  `json:"stderr,omitempty"`

	// Restart is the last request of RestartHandler that the worker has carried out,
	// RestartError what came in its way.
	Restart      string `json:"restart,omitempty"`
	RestartError string `json:"restart_error,omitempty"`
}

// ProcessState is one process of a plugin.
type ProcessState struct {
	Phase    string    `json:"phase"` // starting, up, failing: it dies all the time or does not start
	PID      int       `json:"pid"`   // 0 unless it is up
	Since    time.Time `json:"since"` // when the phase began, by the worker's clock
	Restarts int       `json:"restarts"`
	Memory   int64     `json:"memory"` // bytes; 0 when that is not known
}

// State returns what the worker says of a handler, and false when it says nothing: it
// does not have it, or the handler is no plugin.
func (w Worker) State(handler string) (HandlerState, bool) {
	i := slices.IndexFunc(w.States, func(s HandlerState) bool { return s.Handler == handler })
	if i < 0 {
		return HandlerState{}, false
	}
	return w.States[i], true
}

// RestartHandler asks a worker to start new processes of a handler's plugin, which take
// over when they are ready. The worker sees it at once, or within a second; when it is
// through, its HandlerState names the request. ErrLeaseLost: the worker is gone.
func (c *Client) RestartHandler(ctx context.Context, worker, handler, request string) error {
	reply, err := c.run(ctx, restartScript, worker, handler, request)
	if err != nil {
		return fmt.Errorf("restart handler %q of worker %q: %w", handler, worker, err)
	}
	if reply[0].(int64) == 0 {
		return fmt.Errorf("worker %q: %w", worker, ErrLeaseLost)
	}
	return nil
}

// parseRestarts reads the requests of a tick's reply.
func parseRestarts(text string) map[string]string {
	var out map[string]string
	for _, entry := range strings.Fields(text) {
		if handler, request, ok := strings.Cut(entry, "="); ok {
			if out == nil {
				out = make(map[string]string)
			}
			out[handler] = request
		}
	}
	return out
}

// handlerStates reads what a worker announced; nothing of a version that says it
// otherwise.
func handlerStates(text string) []HandlerState {
	var out []HandlerState
	if json.Unmarshal([]byte(text), &out) != nil {
		return nil
	}
	return out
}
