package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/runtime/config"
	"github.com/throttlerd/throttlerd/scheduler"
)

// durationFlag is a duration as the configuration file takes it: with days.
type durationFlag time.Duration

func (d *durationFlag) String() string { return exact(time.Duration(*d)) }
func (d *durationFlag) Type() string   { return "duration" }
func (d *durationFlag) Set(s string) error {
	v, err := config.ParseDuration(s)
	if err == nil {
		*d = durationFlag(v)
	}
	return err
}

// expiryFlag is a duration, or "never".
type expiryFlag time.Duration

func (d *expiryFlag) Type() string { return "duration" }
func (d *expiryFlag) String() string {
	if *d == 0 {
		return "never"
	}
	return exact(time.Duration(*d))
}
func (d *expiryFlag) Set(s string) error {
	if s == "never" {
		*d = 0
		return nil
	}
	return (*durationFlag)(d).Set(s)
}

// queueFlags are the settings of a queue that create and update share.
type queueFlags struct {
	spec   scheduler.QueueSpec
	bounds boundFlags
}

func (q *queueFlags) register(c *cobra.Command) {
	q.spec = scheduler.DefaultQueue("")
	f, s := c.Flags(), &q.spec
	f.StringVar(&s.Handler, "handler", s.Handler, "`name` of the handler that runs its tasks")
	f.StringVar(&s.Pool, "pool", s.Pool, "`name` of the pool of workers that serve it")
	f.Var((*durationFlag)(&s.Timeout), "timeout", "`time` that one run of a task may take (for these commands not the global flag)")
	f.IntVar(&s.Retry.MaxAttempts, "max-attempts", s.Retry.MaxAttempts, "`number` of runs after which a failing task is dead")
	f.Var((*durationFlag)(&s.Retry.Min), "retry-min", "`delay` before the first retry; it doubles each time")
	f.Var((*durationFlag)(&s.Retry.Max), "retry-max", "longest `delay` before a retry")
	f.Float64Var(&s.Retry.Jitter, "jitter", s.Retry.Jitter, "random `part` of a delay that is left out, 0 to 1")
	f.Var((*expiryFlag)(&s.ExpireAfter), "expire-after", "`time` without a task after which the queue goes, or never")
	f.IntVar(&s.MaxLength, "max-length", s.MaxLength, "`number` of waiting and scheduled tasks above which a submit is refused; 0 for no bound")
	f.IntVar(&s.History, "history", s.History, "`number` of ended tasks that are kept")
	f.IntVar(&s.Concurrency, "concurrency", 0, "`number` of its tasks that run at once, over all workers; 0 for any number")
	f.Int64Var(&s.DebtMax, "debt-max", 0, "`number` of tokens below zero to which a reported actual cost may take its bucket")
	q.bounds.register(c)
}

// change is what was given on the command line, and nothing else.
func (q *queueFlags) change(c *cobra.Command) scheduler.QueueChange {
	s := &q.spec
	return scheduler.QueueChange{
		Handler: given(c, "handler", &s.Handler), Pool: given(c, "pool", &s.Pool),
		Timeout: given(c, "timeout", &s.Timeout), MaxAttempts: given(c, "max-attempts", &s.Retry.MaxAttempts),
		RetryMin: given(c, "retry-min", &s.Retry.Min), RetryMax: given(c, "retry-max", &s.Retry.Max),
		Jitter: given(c, "jitter", &s.Retry.Jitter), History: given(c, "history", &s.History),
		ExpireAfter: given(c, "expire-after", &s.ExpireAfter), MaxLength: given(c, "max-length", &s.MaxLength),
		Concurrency: given(c, "concurrency", &s.Concurrency), DebtMax: given(c, "debt-max", &s.DebtMax),
	}
}

// given is v if the flag was on the command line, else nil.
func given[T any](c *cobra.Command, flag string, v *T) *T {
	if c.Flags().Changed(flag) {
		return v
	}
	return nil
}

// parseRates reads rates with commas between, or "unlimited" as none.
func parseRates(s string) (ratelimit.Rates, error) {
	rates, err := ratelimit.ParseRates(s)
	if err != nil {
		return nil, &usageError{err}
	}
	return rates, nil
}

// checkName refuses what cannot be a name before Redis is asked for it.
func checkName(kind, name string) error {
	if err := config.CheckName(kind, name); err != nil {
		return &usageError{err}
	}
	return nil
}
