package main

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/scheduler"
)

func (a *app) handlerCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "handler",
		Short:   "Show handlers and restart their plugins, on all workers",
		Example: "  throttlectl handler list\n  throttlectl handler restart webhook",
	}
	c.AddCommand(a.handlerListCommand(), a.handlerShowCommand(), a.handlerRestartCommand())
	return c
}

// handlerView is a handler on one worker, in JSON.
type handlerView struct {
	Handler     string        `json:"handler"`
	Worker      string        `json:"worker"`
	State       string        `json:"state"`   // see handlerState
	Plugin      *string       `json:"plugin"`  // null: it is a Go value in the worker
	Version     *string       `json:"version"` // both as the plugin says
	Slots       int           `json:"slots"`
	Running     int           `json:"running"` // tasks; those reserved for an instant ahead too
	Restarts    int           `json:"restarts"`
	Memory      *int64        `json:"memory_bytes"` // of all its processes
	Processes   []processView `json:"processes"`
	LastError   *string       `json:"last_error"`
	LastErrorAt *time.Time    `json:"last_error_at"`
	Stderr      []string      `json:"last_stderr"` // of the process of the last error
}

// processView is a process of a plugin, in JSON.
type processView struct {
	State    string     `json:"state"`
	PID      *int       `json:"pid"`
	Since    *time.Time `json:"since"` // of the state
	Uptime   float64    `json:"uptime_seconds"`
	Restarts int        `json:"restarts"`
	Memory   *int64     `json:"memory_bytes"`

	up time.Duration
}

// handlerState is one word for how a handler does on a worker: "up"; "degraded", where
// some of its processes are down; "starting" or "failing", where all are; "lost", where
// the worker is.
func handlerState(w scheduler.Worker, s scheduler.HandlerState, now time.Time) string {
	up, failing := 0, false
	for _, p := range s.Processes {
		if p.Phase == "up" {
			up++
		}
		failing = failing || p.Phase == "failing"
	}
	switch down := slices.Contains(w.Down, s.Handler); {
	case !w.Live(now):
		return "lost"
	case up == len(s.Processes) && !down:
		return "up"
	case up > 0:
		return "degraded"
	case failing:
		return "failing"
	}
	return "starting"
}

func viewHandler(w scheduler.Worker, handler string, running int, now time.Time) handlerView {
	s, _ := w.State(handler)
	s.Handler = handler
	v := handlerView{
		Handler: handler, Worker: w.ID, State: handlerState(w, s, now), Plugin: optional(s.Plugin), Version: optional(s.Version),
		Slots: w.Slots[handler], Running: running, Processes: []processView{},
		LastError: optional(s.LastError), LastErrorAt: instant(s.LastErrorAt), Stderr: s.Stderr,
	}
	if v.Stderr == nil {
		v.Stderr = []string{}
	}
	var memory int64
	for _, p := range s.Processes {
		x := processView{State: p.Phase, PID: optional(p.PID), Since: instant(p.Since), Restarts: p.Restarts, Memory: optional(p.Memory)}
		if p.PID != 0 {
			x.up = max(0, time.Since(p.Since))
			x.Uptime = x.up.Seconds()
		}
		v.Restarts += p.Restarts
		memory += p.Memory
		v.Processes = append(v.Processes, x)
	}
	v.Memory = optional(memory)
	return v
}

// viewHandlers are the handlers of all workers, or one of them, by name and then by
// worker.
func (s *session) viewHandlers(only string) ([]handlerView, error) {
	workers, err := s.Workers(s.ctx)
	if err != nil {
		return nil, err
	}
	now, err := s.Now(s.ctx)
	if err != nil {
		return nil, err
	}
	if only != "" && len(withHandler(workers, only)) == 0 {
		return nil, s.noHandler(workers, only)
	}
	views := []handlerView{}
	for _, w := range workers {
		runs, err := s.Runs(s.ctx, w.ID)
		if err != nil {
			return nil, err
		}
		loads, err := s.loads(w, runs, now)
		if err != nil {
			return nil, err
		}
		for _, l := range loads {
			if only == "" || l.Handler == only {
				views = append(views, viewHandler(w, l.Handler, l.Running+l.Reserved, now))
			}
		}
	}
	slices.SortStableFunc(views, func(a, b handlerView) int { return strings.Compare(a.Handler, b.Handler) })
	return views, nil
}

// withHandler are the workers that have a handler.
func withHandler(workers []scheduler.Worker, handler string) []scheduler.Worker {
	return slices.DeleteFunc(slices.Clone(workers), func(w scheduler.Worker) bool {
		_, ok := w.Slots[handler]
		return !ok
	})
}

// noHandler says that no worker has a handler of this name.
func (s *session) noHandler(workers []scheduler.Worker, name string) error {
	all := map[string]bool{}
	for _, w := range workers {
		for h := range w.Slots {
			all[h] = true
		}
	}
	return &scheduler.NotFoundError{
		Kind: "worker with handler", Name: name, Namespace: s.Namespace(), Nearest: ratelimit.Nearest(name, slices.Sorted(maps.Keys(all))),
	}
}
