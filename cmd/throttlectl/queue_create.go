package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/scheduler"
)

func (a *app) queueCreateCommand() *cobra.Command {
	var flags queueFlags
	var name string
	c := &cobra.Command{
		Use:   "create RATE|unlimited",
		Short: "Create a queue and print its name",
		Long: `Creates a queue and prints its name, and nothing else, on standard output.

RATE is N/PERIOD[:BURST]: 10/1m is 10 tasks a minute, one each 6 seconds; 10/1m:5 is
the same, but after a pause up to 5 may start at once. Several, with commas between, all
hold: 10/1s,300/15m.

A task starts when all that it is under has room: the queue's own rates and concurrency,
each limit named with --limit (see limit set), and with --key-rate, --key-concurrency or
--key-weight the bounds of its key. Then every task has a key (submit --key), and keys
with work take turns by weight; --exception gives one key bounds of its own.

Without --handler the queue gets the handler that live workers announce, if it is the
only one. A queue that exists is left as it is (exit code 4): see queue update.`,
		Example: `  throttlectl queue create 10/1m:5 --name emails --handler smtp
  throttlectl queue create unlimited --max-attempts 3
  throttlectl queue create 10/1s,300/15m:20 --name deploys --limit github --concurrency 8
  throttlectl queue create unlimited --name mails --key-rate 5/1s --exception 'acme:rate=50/1s,weight=4'
  QUEUE=$(throttlectl queue create 100/1s)`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			spec := flags.spec
			var err error
			if spec.Rates, err = parseRates(args[0]); err != nil {
				return err
			}
			if err := flags.bounds.into(c, &spec); err != nil {
				return err
			}
			if err := checkNew(c, name, spec); err != nil {
				return err
			}
			return a.connected(func(s *session) error { return s.create(name, spec) })
		},
	}
	flags.register(c)
	c.Flags().StringVar(&name, "name", "", "`name` of the queue (default: q- and 8 hex digits)")
	c.Flags().BoolVar(&flags.spec.Paused, "paused", false, "take tasks in, but start none until queue resume")
	return c
}

// checkNew finds what is wrong with a queue before Redis is asked.
func checkNew(c *cobra.Command, name string, spec scheduler.QueueSpec) error {
	if c.Flags().Changed("name") {
		if err := checkName("queue", name); err != nil {
			return err
		}
	}
	if !c.Flags().Changed("handler") {
		spec.Handler = "any" // is found out later
	}
	return spec.Validate()
}

func (s *session) create(name string, spec scheduler.QueueSpec) error {
	workers, err := s.liveWorkers()
	if err != nil {
		return err
	}
	if spec.Handler == "" {
		if spec.Handler, err = onlyHandler(workers, spec.Pool); err != nil {
			return err
		}
	}
	name, err = s.CreateQueue(s.ctx, name, spec)
	if err != nil {
		return err
	}
	if len(scheduler.Serving(workers, name, spec.Pool, spec.Handler)) == 0 {
		s.a.note("Warning: %s; tasks of queue %q will wait for one%s", nobody(spec.Pool, spec.Handler), name,
			didYouMean(spec.Handler, handlers(workers, spec.Pool)))
	}
	if s.a.json {
		return s.a.printJSON(struct {
			Name string `json:"name"`
		}{name})
	}
	s.a.printf("%s\n", name)
	return nil
}

// onlyHandler is the one handler that the live workers of a pool announce.
func onlyHandler(workers []scheduler.Worker, pool string) (string, error) {
	names := handlers(workers, pool)
	switch len(names) {
	case 1:
		return names[0], nil
	case 0:
		return "", usagef("no live worker of pool %q announces a handler: name one with --handler, or start a worker first", pool)
	}
	return "", usagef("live workers of pool %q announce several handlers: choose one with --handler: %s", pool, strings.Join(names, ", "))
}

func didYouMean(name string, names []string) string {
	if near := ratelimit.Nearest(name, names); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}
