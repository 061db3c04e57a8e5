package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/throttlerd/throttlerd/scheduler"
)

func (a *app) deadListCommand() *cobra.Command {
	var f deadFilter
	var limit int
	c := &cobra.Command{
		Use:   "list",
		Short: "List dead tasks with their last error, the oldest of each queue first",
		Long: `Lists the tasks that failed for good, queue by queue, the oldest first. dead retry lets
them run again, dead delete forgets them; task show shows all of an error.`,
		Example: `  throttlectl dead list -q emails
  throttlectl dead list --error '^HTTP 5' --json | jq -r '.[].id'`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := f.check(c); err != nil {
				return err
			}
			if limit < 1 || limit > maxList {
				return usagef("--limit %d must be 1 to %d", limit, maxList)
			}
			return a.interruptible(func(stop context.Context) error {
				return a.steadily(stop, func(l *long) error { return l.listDead(&f, limit) })
			})
		},
	}
	f.register(c)
	c.Flags().IntVar(&limit, "limit", 100, fmt.Sprintf("list at most this `number` of tasks, 1 to %d", maxList))
	return c
}

func (l *long) listDead(f *deadFilter, limit int) error {
	queues, dead, err := l.deadQueues(f)
	if err != nil {
		return err
	}
	var tasks []scheduler.Task
	err = l.eachDead(f, queues, func(page []scheduler.Task) error {
		if tasks = append(tasks, page...); len(tasks) > limit {
			return errEnough
		}
		return nil
	})
	more := errors.Is(err, errEnough)
	if err != nil && !more {
		return err
	}
	tasks = tasks[:min(limit, len(tasks))]
	if l.a.json {
		views := make([]taskView, len(tasks))
		for i, t := range tasks {
			views[i] = viewTask(t)
		}
		return l.a.printJSON(views)
	}
	if len(tasks) == 0 {
		if dead > 0 {
			l.a.note("None of %s matches.", plural(dead, "dead task"))
			return nil
		}
		l.a.note("No dead tasks.")
		return nil
	}
	rows := make([][]string, len(tasks))
	for i, t := range tasks {
		rows[i] = []string{t.ID, t.Queue, count(int64(t.Attempts)), t.Type, t.Key, ago(t.At), brief(t.LastError)}
	}
	l.a.table([]string{"TASK", "QUEUE", "ATTEMPTS", "TYPE", "KEY", "DIED", "LAST ERROR"}, rows)
	if more {
		l.a.note("There are more; these are the first %s (--limit, -q and --error choose).", count(int64(limit)))
	}
	return nil
}
