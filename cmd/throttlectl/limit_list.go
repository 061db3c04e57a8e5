package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/scheduler"
)

func (a *app) limitListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List all named limits with their tokens, their places and who waits",
		Long: `Lists the named limits: QUEUES is how many name each, WAITING how many of those wait at
it. STATE is active, frozen (an upstream said slow down), capped (all places are taken),
exhausted (no whole token is there), or undeclared (its file has it no more).`,
		Example: `  throttlectl limit list
  throttlectl limit list --json | jq -r '.[] | select(.state == "frozen").name'`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.connected((*session).listLimits) },
	}
}

func (s *session) listLimits() error {
	limits, err := s.Limits(s.ctx)
	if err != nil {
		return err
	}
	if s.a.json {
		views := make([]limitView, len(limits))
		for i, l := range limits {
			views[i] = viewLimit(l)
		}
		return s.a.printJSON(views)
	}
	if len(limits) == 0 {
		s.a.note("No limits in namespace %q; throttlectl limit set makes one.", s.Namespace())
		return nil
	}
	s.a.table(limitTable(limits))
	return nil
}

func limitTable(limits []scheduler.Limit) (header []string, rows [][]string) {
	for _, l := range limits {
		rows = append(rows, []string{l.Name, rateText(l.Rates, l.Override), bound(l.Concurrency), count(l.Running),
			tokens(l.Rates, l.Bucket), count(int64(len(l.Queues))), count(l.Waiting), limitState(l)})
	}
	return []string{"NAME", "RATE", "CONCURRENCY", "RUNNING", "TOKENS", "QUEUES", "WAITING", "STATE"}, rows
}

// limitState is the first thing that keeps tasks from starting under a limit.
func limitState(l scheduler.Limit) string {
	switch {
	case l.Damaged:
		return "damaged"
	case !l.FrozenUntil.IsZero():
		return "frozen"
	case l.Concurrency > 0 && l.Running >= int64(l.Concurrency):
		return "capped"
	case len(l.Rates) > 0 && l.Tokens < 1:
		return "exhausted"
	case l.Undeclared:
		return "undeclared"
	}
	return "active"
}

// tokens is how full a bucket is, and when its next token comes.
func tokens(rates ratelimit.Rates, b scheduler.Bucket) string {
	if len(rates) == 0 {
		return "-"
	}
	s := fmt.Sprintf("%s/%s", level(b.Tokens), count(b.Capacity))
	if wait := b.NextToken.Sub(b.At); wait > 0 {
		s += ", next in " + span(wait)
	}
	return s
}

// rateText is the rates in force, and what comes back when they are for a while only.
func rateText(rates ratelimit.Rates, o *scheduler.Override) string { return rates.String() + until(o) }

func until(o *scheduler.Override) string {
	if o == nil {
		return ""
	}
	return fmt.Sprintf(" until %s, then %s", clock(o.Until), o.Base)
}

// hence is an instant as people want it: how far it is, and what the clock says then.
func hence(at, now time.Time) string {
	return fmt.Sprintf("in %s (%s)", span(max(0, at.Sub(now))), clock(at))
}
