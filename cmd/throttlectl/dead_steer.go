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
	}, func(l *long) error {
		return l.steerDead(&f, "retried", func(id string) error {
			_, err := l.RetryTask(l.ctx, id)
			return err
		})
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
	}, func(l *long) error {
		if err := l.confirmDelete(&f); err != nil {
			return err
		}
		return l.steerDead(&f, "deleted", func(id string) error { return l.DeleteDead(l.ctx, id) })
	})
}

func (a *app) deadSteer(f *deadFilter, c *cobra.Command, do func(*long) error) *cobra.Command {
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(c *cobra.Command, ids []string) error {
		if err := f.choose(c, ids); err != nil {
			return err
		}
		return a.interruptible(func(stop context.Context) error {
			return a.steadily(stop, func(l *long) error {
				if err := l.mustBeDead(f.ids); err != nil {
					return err
				}
				return do(l)
			})
		})
	}
	f.register(c)
	c.Flags().BoolVar(&f.all, "all", false, "all dead tasks, of all queues or those of -q")
	return c
}

// mustBeDead fails for the first of the named tasks that is not known or not dead.
func (l *long) mustBeDead(ids []string) error {
	for _, id := range ids {
		if err := l.step(); err != nil {
			return err
		}
		t, err := l.Task(l.ctx, id)
		if err != nil {
			return nothingDone(err, ids)
		}
		if t.State != "dead" {
			return nothingDone(fmt.Errorf("task %q is %s, not dead: %w", id, t.State, scheduler.ErrConflict), ids)
		}
	}
	return nil
}

func nothingDone(err error, ids []string) error {
	if len(ids) == 1 {
		return err
	}
	return fmt.Errorf("nothing was done: %w", err)
}

// confirmDelete asks with the count of what is there now; with --error it has to look.
func (l *long) confirmDelete(f *deadFilter) error {
	n := int64(len(f.ids))
	if n == 0 {
		queues, dead, err := l.deadQueues(f)
		if err != nil {
			return err
		}
		if n = dead; f.match != nil && !l.a.yes {
			n = 0
			if err := l.eachDead(f, queues, func(scheduler.Task) error { n++; return nil }); err != nil {
				return err
			}
		}
		if n == 0 {
			return nil
		}
	}
	deed := "delete " + plural(n, "dead task")
	if f.queue != "" {
		deed += fmt.Sprintf(" of queue %q", f.queue)
	}
	if f.match != nil {
		deed += fmt.Sprintf(" whose error matches %q", f.pattern)
	}
	return l.confirm(deed)
}

// steerDead does one thing to all that is meant, and prints how many it was. What
// another did meanwhile is left as it is.
func (l *long) steerDead(f *deadFilter, word string, do func(id string) error) error {
	var n int64
	one := func(id string) error {
		if err := l.step(); err != nil {
			return err
		}
		err := do(id)
		var gone *scheduler.NotFoundError
		switch {
		case err == nil:
			n++
			return nil
		case errors.Is(err, scheduler.ErrConflict), errors.As(err, &gone):
			return nil
		}
		return err
	}
	err := l.eachMeant(f, one)
	if err != nil {
		err = fmt.Errorf("%w: %s %s so far; the rest is as it was", err, plural(n, "dead task"), word)
		if expired(l.ctx, err) {
			err = &timeoutError{l.a.timeout, err}
		}
		return err
	}
	if l.a.json {
		return l.a.printJSON(map[string]int64{word: n})
	}
	l.a.printf("%s %s\n", plural(n, "dead task"), word)
	return nil
}

func (l *long) eachMeant(f *deadFilter, one func(id string) error) error {
	for _, id := range f.ids {
		if err := one(id); err != nil {
			return err
		}
	}
	if len(f.ids) > 0 {
		return nil
	}
	queues, _, err := l.deadQueues(f)
	if err != nil {
		return err
	}
	return l.eachDead(f, queues, func(t scheduler.Task) error { return one(t.ID) })
}
