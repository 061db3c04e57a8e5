package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/throttlerd/throttlerd/scheduler"
)

func (a *app) deadRetryCommand() *cobra.Command {
	var f deadFilter
	return a.deadSteer(&f, &cobra.Command{
		Use:   "retry [ID]...",
		Short: "Let dead tasks run again, with all their attempts",
		Long: `Lets dead tasks wait for their turn again, behind those that wait already, with all
their attempts: the named ones, all, or those whose last error matches. Every start
takes a token, as the first one did. When one of the named tasks is not known or not
dead, nothing is done.`,
		Example: `  throttlectl dead retry order-4711 order-4712
  throttlectl dead retry --all -q emails
  throttlectl dead retry --error 'connection (refused|reset)'`,
	}, func(l *long, named []scheduler.Task) error {
		return l.steerDead(&f, named, "retried", (*scheduler.Client).RetryDead)
	})
}

func (a *app) deadDeleteCommand() *cobra.Command {
	var f deadFilter
	return a.deadSteer(&f, &cobra.Command{
		Use:   "delete [ID]...",
		Short: "Forget dead tasks, for good",
		Long: `Forgets dead tasks for good: the named ones, all, or those whose last error matches.
It asks first; with --yes it does not. When one of the named tasks is not known or not
dead, nothing is done.`,
		Example: `  throttlectl dead delete order-4711
  throttlectl dead delete --all -q emails --yes`,
	}, func(l *long, named []scheduler.Task) error {
		some, err := l.confirmDelete(&f)
		if err != nil {
			return err
		}
		if !some { // what dies from now on, nobody was asked about
			return l.steered(0, "deleted")
		}
		return l.steerDead(&f, named, "deleted", (*scheduler.Client).DeleteDead)
	})
}

func (a *app) deadSteer(f *deadFilter, c *cobra.Command, do func(l *long, named []scheduler.Task) error) *cobra.Command {
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(c *cobra.Command, ids []string) error {
		if err := f.choose(c, ids); err != nil {
			return err
		}
		return a.interruptible(func(stop context.Context) error {
			return a.steadily(stop, func(l *long) error {
				named, err := l.mustBeDead(f.ids)
				if err != nil {
					return err
				}
				return do(l, named)
			})
		})
	}
	f.register(c)
	c.Flags().BoolVar(&f.all, "all", false, "all dead tasks, of all queues or those of -q")
	return c
}

// mustBeDead returns the named tasks. It fails for the first that is not known or not
// dead.
func (l *long) mustBeDead(ids []string) ([]scheduler.Task, error) {
	tasks := make([]scheduler.Task, 0, len(ids))
	for _, id := range ids {
		if err := l.step(); err != nil {
			return nil, err
		}
		t, err := l.Task(l.ctx, id)
		if err != nil {
			return nil, nothingDone(err, ids)
		}
		if t.State != "dead" {
			return nil, nothingDone(&notDeadError{id, t.State}, ids)
		}
		tasks = append(tasks, t)
	}
	return tasks, nil
}

// notDeadError is a task that is there, in another state.
type notDeadError struct{ id, state string }

func (e *notDeadError) Error() string { return fmt.Sprintf("task %q is %s, not dead", e.id, e.state) }
func (e *notDeadError) Unwrap() error { return scheduler.ErrConflict }

func nothingDone(err error, ids []string) error {
	if len(ids) == 1 {
		return err
	}
	return fmt.Errorf("nothing was done: %w", err)
}

// confirmDelete asks with the count of what is there now; with --error it has to look. False:
// there is nothing to delete.
func (l *long) confirmDelete(f *deadFilter) (some bool, err error) {
	n := int64(len(f.ids))
	if n == 0 {
		queues, dead, err := l.deadQueues(f)
		if err != nil {
			return false, err
		}
		if n = dead; f.match != nil && !l.a.yes {
			n = 0
			if err := l.eachDead(f, queues, func(page []scheduler.Task) error { n += int64(len(page)); return nil }); err != nil {
				return false, err
			}
		}
		if n == 0 {
			return false, nil
		}
	}
	deed := "delete " + plural(n, "dead task")
	if f.queue != "" {
		deed += fmt.Sprintf(" of queue %q", f.queue)
	}
	if f.match != nil {
		deed += fmt.Sprintf(" whose error matches %q", f.pattern)
	}
	return true, l.confirm(deed)
}

// steerDead does one thing to all that is meant, and prints how many it was. What
// another did meanwhile is left as it is.
func (l *long) steerDead(f *deadFilter, named []scheduler.Task, word string, do func(*scheduler.Client, context.Context, []scheduler.Task) (int, error)) error {
	var total int64
	doubt := 0
	page := func(tasks []scheduler.Task) error {
		n, err := do(l.Client, l.ctx, tasks)
		total += int64(n)
		var away *scheduler.UnreachableError
		if errors.As(err, &away) { // a reply was lost, maybe after the deed
			doubt = len(tasks) - n
		}
		return err
	}
	err := l.eachMeant(f, named, page)
	if err != nil {
		rest := "the rest is as it was"
		if doubt > 0 {
			rest = fmt.Sprintf("whether the next %d are too is unknown; the rest is as it was", doubt)
		}
		err = fmt.Errorf("%w: %s %s so far; %s", err, plural(total, "dead task"), word, rest)
		if expired(l.ctx, err) {
			err = &timeoutError{l.a.timeout, err}
		}
		return err
	}
	return l.steered(total, word)
}

// steered prints how many tasks it was.
func (l *long) steered(total int64, word string) error {
	if l.a.json {
		return l.a.printJSON(map[string]int64{word: total})
	}
	l.a.printf("%s %s\n", plural(total, "dead task"), word)
	return nil
}

func (l *long) eachMeant(f *deadFilter, named []scheduler.Task, page func([]scheduler.Task) error) error {
	if len(named) > 0 {
		return page(named)
	}
	queues, _, err := l.deadQueues(f)
	if err != nil {
		return err
	}
	return l.eachDead(f, queues, page)
}
