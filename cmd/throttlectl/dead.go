package main

import (
	"context"
	"errors"
	"regexp"
	"slices"

	"github.com/spf13/cobra"

	"github.com/throttlerd/throttlerd/scheduler"
)

func (a *app) deadCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "dead",
		Short: "List, retry and delete dead tasks",
		Example: `  throttlectl dead list -q emails
  throttlectl dead retry --error 'timeout|refused' -q emails`,
	}
	c.AddCommand(a.deadListCommand(), a.deadRetryCommand(), a.deadDeleteCommand())
	return c
}

// deadFilter is which dead tasks are meant.
type deadFilter struct {
	ids     []string
	all     bool
	queue   string // "" for all queues
	pattern string
	match   *regexp.Regexp // of the last error; nil for any
}

func (f *deadFilter) register(c *cobra.Command) {
	c.Flags().StringVarP(&f.queue, "queue", "q", "", "only tasks of the queue of this `name`")
	c.Flags().StringVar(&f.pattern, "error", "", "only tasks whose last error matches this `regexp`")
}

// check reads the flags that list, retry and delete share.
func (f *deadFilter) check(c *cobra.Command) (err error) {
	if c.Flags().Changed("queue") {
		if err := checkName("queue", f.queue); err != nil {
			return err
		}
	}
	if c.Flags().Changed("error") {
		if f.match, err = regexp.Compile(f.pattern); err != nil {
			return usagef("--error %q is no regular expression: %w", f.pattern, err)
		}
	}
	return nil
}

// choose reads what retry and delete are to be done to: named tasks, or all of a kind.
func (f *deadFilter) choose(c *cobra.Command, ids []string) error {
	if err := f.check(c); err != nil {
		return err
	}
	f.ids = ids
	many := f.all || f.match != nil
	switch {
	case len(ids) > 0 && (many || f.queue != ""):
		return usagef("task ids exclude --all, --error and -q")
	case len(ids) == 0 && !many && f.queue != "":
		return usagef("which dead tasks of queue %q? give --all or --error", f.queue)
	case len(ids) == 0 && !many:
		return usagef("which dead tasks? give their ids, --all or --error; usage: %s", c.UseLine())
	}
	return nil
}

// queues are those that hold dead tasks and are meant, and how many they hold.
func (s *session) deadQueues(f *deadFilter) (queues []scheduler.Queue, dead int64, err error) {
	if f.queue != "" {
		q, err := s.Queue(s.ctx, f.queue)
		return []scheduler.Queue{q}, q.Dead, err
	}
	all, err := s.Queues(s.ctx)
	for _, q := range all {
		if q.Dead > 0 {
			queues, dead = append(queues, q), dead+q.Dead
		}
	}
	return queues, dead, err
}

// errEnough ends a walk that has seen what it wanted.
var errEnough = errors.New("enough")

// eachDead calls f with the dead tasks that are meant, page by page, queue by queue, the
// oldest first.
func (l *long) eachDead(d *deadFilter, queues []scheduler.Queue, f func([]scheduler.Task) error) error {
	for _, q := range queues {
		// a walk may be long, so only what f calls has a time; step sees an interruption
		err := l.EachDead(context.Background(), q.Name, func(page []scheduler.Task) error {
			if err := l.step(); err != nil {
				return err
			}
			return f(slices.DeleteFunc(page, func(t scheduler.Task) bool {
				return d.match != nil && !d.match.MatchString(t.LastError)
			}))
		})
		var gone *scheduler.NotFoundError
		if errors.As(err, &gone) && gone.Kind == "queue" && d.queue == "" {
			continue // removed since the queues were listed
		}
		if err != nil {
			return err
		}
	}
	return nil
}
