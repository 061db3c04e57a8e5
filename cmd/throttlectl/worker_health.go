package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/throttlerd/throttlerd/scheduler"
)

// workerListFlags choose another view of the workers than the list.
type workerListFlags struct{ queues, check bool }

func (f *workerListFlags) register(c *cobra.Command) {
	c.Flags().BoolVar(&f.queues, "queues", false, "list queues instead, with how many workers serve each")
	c.Flags().BoolVar(&f.check, "check", false, "only tell whether all is well: exit code 0 if it is, else 1 with the reasons")
}

func (f *workerListFlags) run(a *app) error {
	switch {
	case f.queues && f.check:
		return usagef("--queues and --check exclude each other")
	case f.check:
		return a.connected((*session).checkHealth)
	case f.queues:
		return a.connected((*session).listServices)
	}
	return a.connected((*session).listWorkers)
}

func isNotFound(err error) bool {
	var gone *scheduler.NotFoundError
	return errors.As(err, &gone)
}

// healthView is how the namespace is doing, in JSON.
type healthView struct {
	Status  string   `json:"status"` // "healthy", "degraded" or "unhealthy"
	Reasons []string `json:"reasons"`
	Workers int      `json:"workers"` // live ones
}

func viewHealth(h scheduler.Health) healthView {
	v := healthView{h.Status, h.Reasons, h.Workers}
	if v.Reasons == nil {
		v.Reasons = []string{}
	}
	return v
}

// sickError makes scripts see that not all is well.
type sickError struct{ scheduler.Health }

func (e *sickError) Error() string {
	return e.Status + ": " + strings.Join(e.Reasons, "; ")
}

func (s *session) checkHealth() error {
	h, err := s.Health(s.ctx)
	if err != nil {
		return err
	}
	if s.a.json {
		if err := s.a.printJSON(viewHealth(h)); err != nil {
			return err
		}
	} else {
		s.a.printf("%s: %s\n", h.Status, plural(int64(h.Workers), "live worker"))
	}
	if h.Status != scheduler.Healthy {
		return &sickError{h}
	}
	return nil
}

// healthLine is the word and the reasons, for the foot of a list.
func (s *session) healthLine() (string, error) {
	h, err := s.Health(s.ctx)
	if err != nil {
		return "", err
	}
	line := fmt.Sprintf("%s: %s", h.Status, plural(int64(h.Workers), "live worker"))
	for i, r := range h.Reasons {
		if i == 5 {
			line += fmt.Sprintf("\n  and %s more", count(int64(len(h.Reasons)-i)))
			break
		}
		line += "\n  " + safe(r)
	}
	return line, nil
}

// serviceView tells who serves a queue, in JSON.
type serviceView struct {
	Queue       string `json:"queue"`
	Handler     string `json:"handler"`
	Pool        string `json:"pool"`
	Workers     int    `json:"workers"`
	Slots       int    `json:"slots"`
	WorkersDown int    `json:"workers_down"` // of the workers: where the handler's plugin is down
	Waiting     int64  `json:"waiting"`
	Running     int64  `json:"running"`
}

func (s *session) listServices() error {
	queues, err := s.Queues(s.ctx)
	if err != nil {
		return err
	}
	workers, err := s.Workers(s.ctx)
	if err != nil {
		return err
	}
	views := make([]serviceView, len(queues))
	rows := make([][]string, len(queues))
	for i, q := range queues {
		n := scheduler.ServiceOf(q, workers)
		views[i] = serviceView{q.Name, q.Handler, q.Pool, n.Workers, n.Slots, n.Down, q.Waiting, q.Running}
		rows[i] = []string{q.Name, q.Handler, q.Pool, count(int64(n.Workers)), count(int64(n.Slots)), count(int64(n.Down)), count(q.Waiting), count(q.Running)}
	}
	if s.a.json {
		return s.a.printJSON(views)
	}
	if len(queues) == 0 {
		s.a.note("No queues in namespace %q; throttlectl queue create makes one.", s.Namespace())
		return nil
	}
	s.a.table([]string{"QUEUE", "HANDLER", "POOL", "WORKERS", "SLOTS", "DOWN", "WAITING", "RUNNING"}, rows)
	return nil
}
