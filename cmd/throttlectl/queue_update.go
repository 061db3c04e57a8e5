package main

import (
	"reflect"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/throttlerd/throttlerd/scheduler"
)

func (a *app) queueUpdateCommand() *cobra.Command {
	var flags queueFlags
	var rate string
	var lasts time.Duration
	var noKey bool
	c := &cobra.Command{
		Use:   "update NAME",
		Short: "Change settings of a queue, at once and for waiting tasks too",
		Long: `Changes the settings that are given, at once and for tasks that already wait. Tokens
that are there stay, up to the new capacity; from now on they come at the new rate. With
--for the rate goes back by itself after that time, also when nothing runs then.

--limit names all the limits that its tasks are under from now on; --limit '' takes them
off. The flags --key-… change what bounds each key; --exception sets the bounds of one
key, and without any ('acme:') takes them away.

A queue that a configuration file declares is overridden: the change stays in force
over reloads and restarts, and queue show says so, until the setting is what the file
says again.`,
		Example: `  throttlectl queue update emails --rate 20/1m:5
  throttlectl queue update emails --rate unlimited --max-attempts 3
  throttlectl queue update emails --rate 1/1m --for 2h
  throttlectl queue update emails --limit smtp --limit budget --concurrency 8
  throttlectl queue update emails --key-rate 5/1s --exception 'acme:rate=50/1s,weight=4'`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkName("queue", args[0]); err != nil {
				return err
			}
			change := flags.change(c)
			var err error
			if change.Rates, change.For, err = readRate(c, rate, lasts); err != nil {
				return err
			}
			if err := flags.bounds.change(c, &change, noKey); err != nil {
				return err
			}
			if reflect.DeepEqual(change, scheduler.QueueChange{}) && !keyed(c) {
				return usagef("queue update %s changes nothing: give at least one of --rate, --limit, --concurrency, --debt-max, --key-rate, --key-concurrency, --key-weight, --no-key, --exception, --handler, --pool, --timeout, --max-attempts, --retry-min, --retry-max, --jitter, --history, --max-length, --expire-after", args[0])
			}
			return a.connected(func(s *session) error {
				return s.update(args[0], change, func(k *scheduler.KeySpec) *scheduler.KeySpec { return flags.bounds.apply(c, k) })
			})
		},
	}
	flags.register(c)
	registerRate(c, &rate, &lasts)
	c.Flags().BoolVar(&noKey, "no-key", false, "take the bounds of keys off; only while the queue holds no task")
	hideDefaults(c)
	return c
}

// hideDefaults takes the defaults out of the help: what is not given stays as it is.
func hideDefaults(c *cobra.Command) {
	c.Flags().VisitAll(func(f *pflag.Flag) {
		f.DefValue = map[string]string{"int": "0", "int64": "0", "float64": "0", "stringArray": "[]"}[f.Value.Type()]
	})
}

// update changes a queue; key makes of the bounds of each key those that are to be.
func (s *session) update(name string, change scheduler.QueueChange, key func(*scheduler.KeySpec) *scheduler.KeySpec) error {
	before, err := s.Queue(s.ctx, name)
	if err != nil {
		return err
	}
	if after := key(before.Key); after != before.Key {
		change.Key = &after
	}
	change.By = editor()
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
	s.a.printf("%s: %s\n", name, safe(changeWords(changes(spelled(before.QueueSpec, before.Override), spelled(after.QueueSpec, after.Override)))))
	return nil
}

// noteOverride says that a declared queue is not what its file says.
func (s *session) noteOverride(q scheduler.Queue) {
	if q.Declared == nil || q.Undeclared {
		return
	}
	s.a.note("%s", safe(overrideNote("queue", q.Name, q.Owner, q.Override, difference(q.QueueSpec, *q.Declared))))
}
