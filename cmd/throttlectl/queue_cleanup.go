package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/throttlerd/throttlerd/scheduler"
)

func (a *app) queueCleanupCommand() *cobra.Command {
	var empty, all, dry bool
	c := &cobra.Command{
		Use:   "cleanup",
		Short: "Remove all empty queues (--empty), or all queues (--all)",
		Long: `Removes queues, for good: with --empty those that hold no task (none waiting, scheduled,
running or dead), with --all also the others, with their tasks. Queues that a
configuration file declares stay. It lists what goes and asks; with --yes it does not.
With --dry-run it only lists.`,
		Example: `  throttlectl queue cleanup --empty --dry-run
  throttlectl queue cleanup --empty --yes`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if empty == all {
				return usagef("queue cleanup needs either --empty or --all")
			}
			return a.interruptible(func(stop context.Context) error {
				return a.steadily(stop, func(l *long) error { return l.cleanup(all, dry) })
			})
		},
	}
	c.Flags().BoolVar(&empty, "empty", false, "queues that hold no task")
	c.Flags().BoolVar(&all, "all", false, "all queues, with their tasks")
	c.Flags().BoolVar(&dry, "dry-run", false, "only list what would go")
	return c
}

// cleanedView is a queue that cleanup removes, in JSON.
type cleanedView struct {
	Queue     string `json:"queue"`
	Waiting   int64  `json:"waiting"`
	Scheduled int64  `json:"scheduled"`
	Running   int64  `json:"running"`
	Dead      int64  `json:"dead"`
	Removed   bool   `json:"removed"`
}

func (l *long) cleanup(all, dry bool) error {
	queues, err := l.Queues(l.ctx)
	if err != nil {
		return err
	}
	goes, tasks, declared := chooseCleanup(queues, all)
	if !l.a.json && len(goes) > 0 {
		l.a.table(cleanupTable(goes))
	}
	switch {
	case declared == 1:
		l.a.note("Note: 1 queue is declared by a configuration file; it stays")
	case declared > 1:
		l.a.note("Note: %s queues are declared by a configuration file; they stay", count(declared))
	}
	if len(goes) == 0 {
		l.a.note("No queue to remove in namespace %q.", l.Namespace())
	} else if !dry {
		deed := fmt.Sprintf("remove %s", plural(int64(len(goes)), "queue"))
		if tasks > 0 {
			deed += fmt.Sprintf(" with %s", plural(tasks, "task"))
		}
		if err := l.listThenConfirm(deed); err != nil {
			return err
		}
		if err := l.removeAll(goes, all); err != nil {
			return err
		}
	}
	if l.a.json {
		return l.a.printJSON(goes)
	}
	return nil
}

// chooseCleanup are the queues that go, how many tasks they hold, and how many of those
// that would go are declared.
func chooseCleanup(queues []scheduler.Queue, all bool) (goes []cleanedView, tasks, declared int64) {
	goes = []cleanedView{}
	for _, q := range queues {
		held := q.Waiting + q.Scheduled + q.Running + q.Dead
		if held > 0 && !all {
			continue
		}
		if q.Owner != "" && !q.Undeclared {
			declared++
			continue
		}
		goes, tasks = append(goes, cleanedView{q.Name, q.Waiting, q.Scheduled, q.Running, q.Dead, false}), tasks+held
	}
	return goes, tasks, declared
}

func cleanupTable(goes []cleanedView) (header []string, rows [][]string) {
	for _, v := range goes {
		rows = append(rows, []string{v.Queue, count(v.Waiting), count(v.Scheduled), count(v.Running), count(v.Dead)})
	}
	return []string{"QUEUE", "WAITING", "SCHEDULED", "RUNNING", "DEAD"}, rows
}

// listThenConfirm shows a person the list before the question.
func (l *long) listThenConfirm(deed string) error {
	if l.a.interactive && !l.a.yes {
		if err := l.a.flush(); err != nil {
			return err
		}
	}
	return l.confirm(deed)
}

func (l *long) removeAll(goes []cleanedView, force bool) error {
	n := int64(0)
	for i := range goes {
		err := l.RemoveQueueInSteps(l.steps, goes[i].Queue, force)
		var gone *scheduler.NotFoundError
		switch {
		case err == nil:
			goes[i].Removed = true
			n++
		case errors.As(err, &gone): // somebody else did
		case errors.Is(err, scheduler.ErrConflict): // it is in use, or declared, since it was listed
			l.a.note("Note: %s; it stays", safe(err.Error()))
		default:
			return fmt.Errorf("after %s of %s had been removed: %w", count(n), plural(int64(len(goes)), "queue"), err)
		}
	}
	if !l.a.json {
		l.a.printf("%s removed\n", plural(n, "queue"))
	}
	return nil
}
