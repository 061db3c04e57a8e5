package main

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/scheduler"
)

// limitFlags are what limit set may change.
type limitFlags struct {
	rate        string
	concurrency int
	debtMax     int64
	lasts       time.Duration
}

func (a *app) limitSetCommand() *cobra.Command {
	var flags limitFlags
	c := &cobra.Command{
		Use:   "set NAME",
		Short: "Create a limit, or change one at once and for waiting tasks too",
		Long: `Changes the settings that are given. A limit that does not exist is created: then it
needs a rate or a concurrency. Tokens that are there stay, up to the new capacity; from
now on they come at the new rate. With --for the rate goes back by itself after that
time, also when nothing runs then.

A limit that a configuration file declares is overridden: the change stays in force over
reloads and restarts, and limit show says so.`,
		Example: `  throttlectl limit set github --rate 5000/1h:50 --concurrency 20
  throttlectl limit set openai --rate 500/1m,90000/1d:200 --debt-max 50
  throttlectl limit set github --rate 100/1h --for 2h`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkLimitName(args[0]); err != nil {
				return err
			}
			change, err := flags.change(c)
			if err != nil {
				return err
			}
			if reflect.DeepEqual(change, scheduler.LimitChange{}) {
				return usagef("limit set %s changes nothing: give at least one of --rate, --concurrency, --debt-max", args[0])
			}
			return a.connected(func(s *session) error { return s.setLimit(args[0], change) })
		},
	}
	f := c.Flags()
	registerRate(c, &flags.rate, &flags.lasts)
	f.IntVar(&flags.concurrency, "concurrency", 0, "`number` of tasks that run at once, over all workers; 0 for any number")
	f.Int64Var(&flags.debtMax, "debt-max", 0, "`number` of tokens below zero to which a reported actual cost may take a bucket")
	return c
}

// registerRate adds --rate and --for.
func registerRate(c *cobra.Command, rate *string, lasts *time.Duration) {
	c.Flags().StringVar(rate, "rate", "", "`rate` N/PERIOD[:BURST], several with commas, or unlimited")
	c.Flags().Var((*durationFlag)(lasts), "for", "`time` after which --rate goes back to what it was, 1s to 366d (default: for good)")
	c.Flags().Lookup("for").DefValue = ""
}

// readRate reads --rate and --for.
func readRate(c *cobra.Command, text string, lasts time.Duration) (rates *ratelimit.Rates, d time.Duration, err error) {
	if c.Flags().Changed("rate") {
		r, err := parseRates(text)
		if err != nil {
			return nil, 0, err
		}
		rates = &r
	}
	switch {
	case !c.Flags().Changed("for"):
		return rates, 0, nil
	case rates == nil:
		return nil, 0, usagef("--for goes with --rate only: the rate goes back after that time")
	case lasts < time.Second || lasts > maxDelay:
		return nil, 0, usagef("--for %s must be 1s to %s", exact(lasts), exact(maxDelay))
	}
	return rates, lasts, nil
}

func (f *limitFlags) change(c *cobra.Command) (ch scheduler.LimitChange, err error) {
	if ch.Rates, ch.For, err = readRate(c, f.rate, f.lasts); err != nil {
		return ch, err
	}
	ch.Concurrency, ch.DebtMax = given(c, "concurrency", &f.concurrency), given(c, "debt-max", &f.debtMax)
	return ch, nil
}

func (s *session) setLimit(name string, change scheduler.LimitChange) error {
	before, err := s.Limit(s.ctx, name)
	switch {
	case isNotFound(err) && change.For > 0:
		return fmt.Errorf("%w; --for changes a limit that exists, for a while", err)
	case isNotFound(err) && change.Rates == nil && change.Concurrency == nil:
		return fmt.Errorf("%w; to create it, give --rate or --concurrency", err)
	case err != nil && !isNotFound(err):
		return err
	}
	change.By = editor()
	created, err := s.SetLimit(s.ctx, name, change)
	if err != nil {
		return err
	}
	after, err := s.Limit(s.ctx, name)
	if err != nil {
		return err
	}
	s.noteLimitOverride(after)
	if s.a.json {
		return s.a.printJSON(struct {
			limitView
			Created bool `json:"created"`
		}{viewLimit(after), created})
	}
	s.a.printf("%s: %s\n", name, setWords(before, after, created))
	return nil
}

// setWords are what became of a limit.
func setWords(before, after scheduler.Limit, created bool) string {
	if created {
		words := []string{"created"}
		for _, w := range spelledLimit(after.LimitSpec, after.Override) {
			words = append(words, w[0]+" "+w[1])
		}
		return strings.Join(words, ", ")
	}
	return changeWords(changes(spelledLimit(before.LimitSpec, before.Override), spelledLimit(after.LimitSpec, after.Override)))
}

// noteLimitOverride says that a declared limit is not what its file says.
func (s *session) noteLimitOverride(l scheduler.Limit) {
	if l.Declared == nil || l.Undeclared {
		return
	}
	s.a.note("%s", overrideNote("limit", l.Name, l.Owner, l.Override, changes(spelledLimit(l.LimitSpec, nil), spelledLimit(*l.Declared, nil))))
}
