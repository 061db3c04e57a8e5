package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/throttlerd/throttlerd/scheduler"
)

func (a *app) queueRemoveCommand() *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use:   "remove NAME",
		Short: "Remove a queue with its settings, counters and history",
		Long: `Removes a queue with its settings, counters and history, for good. It asks first; with
--yes it does not. A queue that holds tasks (waiting, scheduled, running or dead) is
refused unless --force is given: its tasks then go with it. A queue that a
configuration file declares is always refused: take it out of the file first.`,
		Example: `  throttlectl queue remove old-emails
  throttlectl queue remove old-emails --force --yes`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := checkName("queue", args[0]); err != nil {
				return err
			}
			return a.interruptible(func(stop context.Context) error {
				return a.steadily(stop, func(l *long) error { return l.remove(args[0], force) })
			})
		},
	}
	c.Flags().BoolVar(&force, "force", false, "remove the queue with the tasks that it holds")
	return c
}

func (l *long) remove(name string, force bool) error {
	q, err := l.Queue(l.ctx, name)
	if err != nil {
		return err
	}
	if q.Owner != "" && !q.Undeclared {
		return remedy(&scheduler.OwnedError{Queue: name, Owner: q.Owner})
	}
	held := q.Waiting + q.Scheduled + q.Running + q.Dead
	if held > 0 && !force {
		return remedy(&scheduler.NotEmptyError{Queue: name, Waiting: q.Waiting, Scheduled: q.Scheduled, Running: q.Running, Dead: q.Dead})
	}
	deed := fmt.Sprintf("remove queue %q", name)
	if held > 0 {
		deed = fmt.Sprintf("remove queue %q with %s waiting, %s scheduled, %s running and %s dead tasks",
			name, count(q.Waiting), count(q.Scheduled), count(q.Running), count(q.Dead))
	}
	if err := l.confirm(deed); err != nil {
		return err
	}
	if err := l.RemoveQueueInSteps(l.steps, name, force); err != nil {
		return remedy(err)
	}
	if l.a.json {
		return l.a.printJSON(struct {
			Queue   string `json:"queue"`
			Removed bool   `json:"removed"`
		}{name, true})
	}
	l.a.printf("%s: removed\n", name)
	return nil
}

// remedy adds to a refused removal what would be right.
func remedy(err error) error {
	var owned *scheduler.OwnedError
	var full *scheduler.NotEmptyError
	switch {
	case errors.As(err, &owned):
		return fmt.Errorf("%w; take it out of that file, then remove it", err)
	case errors.As(err, &full):
		return fmt.Errorf("%w; with --force they go with it", err)
	}
	return err
}
