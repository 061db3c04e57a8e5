package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/scheduler"
)

func (a *app) workerShowCommand() *cobra.Command {
	var detailed bool
	c := &cobra.Command{
		Use:   "show ID",
		Short: "Show one worker: its handlers, their slots and what it runs",
		Long: `Shows one worker: where it runs, what it serves, how many slots each handler has and how
many tasks are running in them or reserved for an instant that is about to come. The
beginning of an id is enough where only one worker has it.`,
		Example: `  throttlectl worker show web-1
  throttlectl worker show web-1 --detailed`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.connected(func(s *session) error { return s.showWorker(args[0], detailed) })
		},
	}
	c.Flags().BoolVar(&detailed, "detailed", false, "list the tasks that it runs or has reserved")
	return c
}

// findWorker is the worker of this id, or the only one whose id begins so.
func findWorker(workers []scheduler.Worker, id, namespace string) (scheduler.Worker, error) {
	var found []scheduler.Worker
	var all, names []string
	for _, w := range workers {
		if w.ID == id {
			return w, nil
		}
		all = append(all, w.ID)
		if id != "" && strings.HasPrefix(w.ID, id) {
			found, names = append(found, w), append(names, w.ID)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return scheduler.Worker{}, &scheduler.NotFoundError{Kind: "worker", Name: id, Namespace: namespace, Nearest: ratelimit.Nearest(id, all)}
	}
	return scheduler.Worker{}, usagef("%d workers have ids that begin with %q; give more of it: %s", len(found), id, strings.Join(names, ", "))
}

// handlerLoad is what one handler of a worker does.
type handlerLoad struct {
	Handler  string `json:"handler"`
	Slots    int    `json:"slots"`
	Running  int    `json:"running"`
	Reserved int    `json:"reserved"`
	Down     bool   `json:"down"` // its plugin
}

// heldView is a task that a worker holds, in JSON.
type heldView struct {
	ID        string     `json:"id"`
	Queue     string     `json:"queue"`
	State     string     `json:"state"` // "running", or "reserved": its start lies ahead
	Type      *string    `json:"type"`
	Key       *string    `json:"key"`
	Attempt   int        `json:"attempt"`
	StartedAt *time.Time `json:"started_at"`
	Age       float64    `json:"age_seconds"` // since its start; negative while it is reserved

	Progress *progressView `json:"progress"` // null if it has told none

	age      time.Duration
	progress string
}

func (s *session) showWorker(id string, detailed bool) error {
	workers, err := s.Workers(s.ctx)
	if err != nil {
		return err
	}
	w, err := findWorker(workers, id, s.Namespace())
	if err != nil {
		return err
	}
	runs, err := s.Runs(s.ctx, w.ID)
	if err != nil {
		return err
	}
	now, err := s.Now(s.ctx)
	if err != nil {
		return err
	}
	loads, err := s.loads(w, runs, now)
	if err != nil {
		return err
	}
	var held []heldView
	if detailed {
		if held, err = s.held(w, runs, now); err != nil {
			return err
		}
	}
	if s.a.json {
		v := struct {
			workerView
			Queues       []string      `json:"queues"` // null: all of its pools
			Reserved     int           `json:"reserved"`
			HandlerLoads []handlerLoad `json:"handler_loads"`
			Tasks        []heldView    `json:"tasks,omitzero"` // null is left out, [] is not
		}{viewWorker(w, now), w.Queues, 0, loads, held}
		v.Running, v.Reserved = split(runs, now)
		return s.a.printJSON(v)
	}
	s.a.facts(workerFacts(w, runs, now))
	s.a.printf("\n")
	s.a.table(loadTable(loads))
	if detailed {
		s.printHeld(held)
	}
	return nil
}

// split counts those that have started and those whose start lies ahead.
func split(runs []scheduler.Run, now time.Time) (running, reserved int) {
	for _, r := range runs {
		if r.Start.After(now) {
			reserved++
		}
	}
	return len(runs) - reserved, reserved
}

// loads are the worker's handlers with what they do. A task belongs to the handler that
// its queue has now.
func (s *session) loads(w scheduler.Worker, runs []scheduler.Run, now time.Time) ([]handlerLoad, error) {
	byHandler := map[string]*handlerLoad{}
	var out []handlerLoad
	for _, h := range w.Handlers() {
		byHandler[h] = &handlerLoad{Handler: h, Slots: w.Slots[h], Down: slices.Contains(w.Down, h)}
	}
	handlerOf := map[string]string{}
	for _, r := range runs {
		h, ok := handlerOf[r.Queue]
		if !ok {
			q, err := s.Queue(s.ctx, r.Queue)
			if err != nil && !isNotFound(err) {
				return nil, err
			}
			h = q.Handler
			handlerOf[r.Queue] = h
		}
		load := byHandler[h]
		switch {
		case load == nil: // the queue has another handler by now
		case r.Start.After(now):
			load.Reserved++
		default:
			load.Running++
		}
	}
	for _, h := range w.Handlers() {
		out = append(out, *byHandler[h])
	}
	return out, nil
}

func (s *session) held(w scheduler.Worker, runs []scheduler.Run, now time.Time) ([]heldView, error) {
	out := []heldView{}
	for _, r := range runs {
		t, err := s.Task(s.ctx, r.Task)
		if isNotFound(err) || err == nil && t.Worker != w.ID {
			continue // it has ended since
		}
		if err != nil {
			return nil, err
		}
		v := heldView{
			ID: t.ID, Queue: r.Queue, State: "running", Type: optional(t.Type), Key: optional(t.Key), Attempt: t.Attempts,
			StartedAt: instant(r.Start), age: now.Sub(r.Start), Age: now.Sub(r.Start).Seconds(),
			Progress: viewProgress(t.Progress), progress: progressText(t.Progress),
		}
		if v.age < 0 {
			v.State = "reserved"
		}
		out = append(out, v)
	}
	return out, nil
}

func workerFacts(w scheduler.Worker, runs []scheduler.Run, now time.Time) [][2]string {
	state := workerState(w, now)
	state += map[string]string{"lost": ": its lease has ended, and its tasks are being taken back", "draining": ": it takes no more tasks"}[state]
	queues := "all of its pools"
	if len(w.Queues) > 0 {
		queues = "only " + strings.Join(w.Queues, ", ")
	}
	running, reserved := split(runs, now)
	return [][2]string{
		{"worker", w.ID},
		{"state", state},
		{"host", fmt.Sprintf("%s, process %d", w.Host, w.PID)},
		{"heartbeat", ageText(w, now)},
		{"lease", fmt.Sprintf("%s, ends in %s", exact(w.Lease), span(w.LeaseEnds.Sub(now)))},
		{"up since", fmt.Sprintf("%s, %s", clock(w.Started), ago(w.Started))},
		{"pools", strings.Join(w.Pools, ", ")},
		{"queues", queues},
		{"tasks", fmt.Sprintf("%s running, %s reserved", count(int64(running)), count(int64(reserved)))},
		{"version", w.Version},
		{"config hash", w.ConfigHash},
	}
}

func loadTable(loads []handlerLoad) (header []string, rows [][]string) {
	for _, l := range loads {
		state := "up"
		if l.Down {
			state = "DOWN"
		}
		rows = append(rows, []string{l.Handler, count(int64(l.Slots)), count(int64(l.Running)), count(int64(l.Reserved)), state})
	}
	return []string{"HANDLER", "SLOTS", "RUNNING", "RESERVED", "PLUGIN"}, rows
}

func (s *session) printHeld(held []heldView) {
	s.a.printf("\n")
	if len(held) == 0 {
		s.a.printf("No tasks.\n")
		return
	}
	header, telling := []string{"TASK", "QUEUE", "STATE", "AGE", "ATTEMPT", "TYPE", "KEY"}, false
	for _, h := range held {
		telling = telling || h.progress != ""
	}
	if telling {
		header = append(header, "PROGRESS")
	}
	rows := make([][]string, len(held))
	for i, h := range held {
		age := span(h.age) + " ago"
		if h.age < 0 {
			age = "in " + span(-h.age)
		}
		rows[i] = []string{h.ID, h.Queue, h.State, age, fmt.Sprint(h.Attempt), deref(h.Type), deref(h.Key)}
		if telling {
			rows[i] = append(rows[i], h.progress)
		}
	}
	s.a.table(header, rows)
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
