package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/scheduler"
)

const maxList = 1000

// taskFilter is which tasks are listed.
type taskFilter struct {
	queue string // "" for all queues
	state string // "" for all states
	limit int
}

func (a *app) taskListCommand() *cobra.Command {
	var f taskFilter
	c := &cobra.Command{
		Use:   "list",
		Short: "List tasks of one queue or of all, in one state or in all",
		Long: `Lists tasks, queue by queue: running, waiting in their order, scheduled and dead by
their instant, then the history, newest first. At most --limit tasks are listed.`,
		Example: `  throttlectl task list -q emails
  throttlectl task list --state dead --limit 20`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := f.check(c); err != nil {
				return err
			}
			return a.connected(func(s *session) error { return s.listTasks(f) })
		},
	}
	c.Flags().StringVarP(&f.queue, "queue", "q", "", "only tasks of the queue of this `name`")
	c.Flags().StringVar(&f.state, "state", "", "only tasks in this `state`: "+strings.Join(scheduler.States, ", "))
	c.Flags().IntVar(&f.limit, "limit", 100, fmt.Sprintf("list at most this `number` of tasks, 1 to %d", maxList))
	return c
}

func (f *taskFilter) check(c *cobra.Command) error {
	if c.Flags().Changed("queue") {
		if err := checkName("queue", f.queue); err != nil {
			return err
		}
	}
	if c.Flags().Changed("state") && !slices.Contains(scheduler.States, f.state) {
		hint := ""
		if near := ratelimit.Nearest(f.state, scheduler.States); near != "" {
			hint = fmt.Sprintf("did you mean %q? ", near)
		}
		return usagef("--state %q is no state; %sthere are %s", f.state, hint, strings.Join(scheduler.States, ", "))
	}
	if f.limit < 1 || f.limit > maxList {
		return usagef("--limit %d must be 1 to %d", f.limit, maxList)
	}
	return nil
}

func (s *session) listTasks(f taskFilter) error {
	tasks, err := s.tasks(f)
	if err != nil {
		return err
	}
	more := len(tasks) > f.limit
	if more {
		tasks = tasks[:f.limit]
	}
	if s.a.json {
		views := make([]taskView, len(tasks))
		for i, t := range tasks {
			views[i] = viewTask(t)
		}
		return s.a.printJSON(views)
	}
	if len(tasks) == 0 {
		s.a.note("No such tasks.")
		return nil
	}
	rows := make([][]string, len(tasks))
	for i, t := range tasks {
		rows[i] = []string{t.ID, t.Queue, t.State, count(int64(t.Attempts)), t.Type, t.Key, when(t), brief(t.LastError)}
	}
	s.a.table([]string{"TASK", "QUEUE", "STATE", "ATTEMPTS", "TYPE", "KEY", "WHEN", "LAST ERROR"}, rows)
	if more {
		s.a.note("There are more; these are the first %s (--limit, -q and --state choose).", count(int64(f.limit)))
	}
	return nil
}

// tasks returns those that the filter lets through, one more than its limit if there
// are that many. Of queues only what their counters say is there is looked for.
func (s *session) tasks(f taskFilter) ([]scheduler.Task, error) {
	var queues []scheduler.Queue
	var err error
	if f.queue == "" {
		queues, err = s.Queues(s.ctx)
	} else {
		queues = make([]scheduler.Queue, 1)
		queues[0], err = s.Queue(s.ctx, f.queue)
	}
	if err != nil {
		return nil, err
	}
	var out []scheduler.Task
	for _, q := range queues {
		for _, state := range statesOf(q) {
			if f.state != "" && f.state != state {
				continue
			}
			got, err := s.Tasks(s.ctx, q.Name, state, f.limit+1-len(out))
			if err != nil {
				return nil, err
			}
			if out = append(out, got...); len(out) > f.limit {
				return out, nil
			}
		}
	}
	return out, nil
}

// statesOf are the states that tasks of the queue are in, what moves first.
func statesOf(q scheduler.Queue) []string {
	var out []string
	for _, c := range []struct {
		n      int64
		states []string
	}{
		{q.Running, []string{"running"}},
		{q.Waiting, []string{"waiting"}},
		{q.Scheduled, []string{"scheduled"}},
		{q.Dead, []string{"dead"}},
		{q.Ended, []string{"done", "cancelled", "expired"}},
	} {
		if c.n > 0 {
			out = append(out, c.states...)
		}
	}
	return out
}
