package main

import (
	"reflect"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/throttlerd/throttlerd/scheduler"
)

func (a *app) queueUpdateCommand() *cobra.Command {
	var flags queueFlags
	var rate string
	c := &cobra.Command{
		Use:   "update NAME",
		Short: "Change settings of a queue, at once and for waiting tasks too",
		Long: `Changes the settings that are given, at once and for tasks that already wait. Tokens
that are there stay, up to the new capacity; from now on they come at the new rate.

A queue that a configuration file declares is overridden: the change stays in force
over reloads and restarts, and queue show says so, until the setting is what the file
says again.`,
		Example: `  throttlectl queue update emails --rate 20/1m:5
  throttlectl queue update emails --rate unlimited --max-attempts 3`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkName("queue", args[0]); err != nil {
				return err
			}
			change := flags.change(c)
			if c.Flags().Changed("rate") {
				r, err := parseRates(rate)
				if err != nil {
					return err
				}
				change.Rates = &r
			}
			if reflect.DeepEqual(change, scheduler.QueueChange{}) {
				return usagef("queue update %s changes nothing: give at least one of --rate, --handler, --pool, --timeout, --max-attempts, --retry-min, --retry-max, --jitter, --history, --max-length, --expire-after", args[0])
			}
			return a.connected(func(s *session) error { return s.update(args[0], change) })
		},
	}
	flags.register(c)
	c.Flags().StringVar(&rate, "rate", "", "`rate` N/PERIOD[:BURST], or unlimited")
	hideDefaults(c)
	return c
}

// hideDefaults takes the defaults out of the help: what is not given stays as it is.
func hideDefaults(c *cobra.Command) {
	c.Flags().VisitAll(func(f *pflag.Flag) {
		f.DefValue = map[string]string{"int": "0", "float64": "0"}[f.Value.Type()]
	})
}

func (s *session) update(name string, change scheduler.QueueChange) error {
	before, err := s.Queue(s.ctx, name)
	if err != nil {
		return err
	}
	if err := s.UpdateQueue(s.ctx, name, change); err != nil {
		return err
	}
	after, err := s.Queue(s.ctx, name)
	if err != nil {
		return err
	}
	workers, err := s.Workers(s.ctx)
	if err != nil {
		return err
	}
	s.noteOverride(after)
	if len(serving(after, workers)) == 0 && (change.Handler != nil || change.Pool != nil) {
		s.a.note("Warning: %s; its tasks will wait for one", nobody(after.Pool, after.Handler))
	}
	if s.a.json {
		return s.a.printJSON(viewQueue(after, workers))
	}
	var words []string
	for _, d := range difference(before.QueueSpec, after.QueueSpec) {
		words = append(words, d.name+" "+d.from+" -> "+d.to)
	}
	if len(words) == 0 {
		words = []string{"as it was"}
	}
	s.a.printf("%s: %s\n", name, strings.Join(words, ", "))
	return nil
}

// noteOverride says that a declared queue is not what its file says.
func (s *session) noteOverride(q scheduler.Queue) {
	if q.Declared == nil || q.Undeclared {
		return
	}
	var words []string
	for _, d := range difference(q.QueueSpec, *q.Declared) {
		words = append(words, d.name+" "+d.to)
	}
	s.a.note("Note: queue %q is declared by the file of owner %q, and this is an override of it; it stays until the setting is what the file says: %s",
		q.Name, q.Owner, strings.Join(words, ", "))
}
