package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/scheduler"
)

func (a *app) limitShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME",
		Short: "Show one limit: its tokens, its places, its queues, and what holds it up",
		Example: `  throttlectl limit show github
  throttlectl limit show github --json | jq .frozen_until`,
		Args: cobra.ExactArgs(1),
		RunE: a.onLimit((*session).showLimit),
	}
}

func (s *session) showLimit(name string) error {
	l, err := s.Limit(s.ctx, name)
	if err != nil {
		return err
	}
	if s.a.json {
		return s.a.printJSON(viewLimit(l))
	}
	s.a.facts(limitFacts(l))
	s.a.printf("\n%s\n", safe(limitReason(l)))
	return nil
}

func limitFacts(l scheduler.Limit) [][2]string {
	rows := [][2]string{{"limit", l.Name}, {"state", limitState(l)}}
	rows = append(rows, bucketFacts(l.LimitSpec, l.Bucket)...)
	rows = append(rows,
		[2]string{"running", runningText(l.Running, l.Concurrency)},
		[2]string{"queues", names(l.Queues)},
		[2]string{"waiting", plural(l.Waiting, "queue") + " at it"},
	)
	rows = append(rows, spentFacts(l.Spent, l.Wasted, l.Credited, l.Owed, l.Cut)...)
	rows = append(rows, editFacts(l.LastEdit)...)
	if l.Owner != "" {
		rows = append(rows, [2]string{"declared by", fmt.Sprintf("the file of owner %q%s", l.Owner, map[bool]string{true: ", but not any more"}[l.Undeclared])})
	}
	if l.Declared != nil {
		rows = append(rows, overrideFacts(changes(spelledLimit(l.LimitSpec, nil), spelledLimit(*l.Declared, nil)))...)
	}
	return rows
}

// bucketFacts are those of a rate, a queue's own or a named limit's.
func bucketFacts(s scheduler.LimitSpec, b scheduler.Bucket) [][2]string {
	rows := [][2]string{{"rate", fmt.Sprintf("%s (%s)%s", s.Rates, ratesWords(s.Rates), until(b.Override))}}
	if len(s.Rates) > 0 {
		next := "full"
		if wait := b.NextToken.Sub(b.At); wait > 0 {
			next = "next in " + span(wait)
		}
		rows = append(rows, [2]string{"tokens", fmt.Sprintf("%s of %s, %s", level(b.Tokens), count(b.Capacity), next)})
	}
	if s.DebtMax > 0 {
		rows = append(rows, [2]string{"debt max", plural(s.DebtMax, "token") + " that tasks may cost more than they were granted for"})
	}
	if !b.FrozenUntil.IsZero() {
		rows = append(rows, [2]string{"frozen", fmt.Sprintf("until %s, for %s: the upstream said slow down", clock(b.FrozenUntil), span(b.FrozenUntil.Sub(b.At)))})
	}
	return rows
}

func runningText(running int64, most int) string {
	if most == 0 {
		return count(running)
	}
	return fmt.Sprintf("%s of at most %s", count(running), count(int64(most)))
}

func spentFacts(spent, wasted, credited, owed, cutOff int64) [][2]string {
	rows := [][2]string{{"tokens spent", fmt.Sprintf("%s (%s of them given back without a start)", count(spent), count(wasted))}}
	if credited+owed+cutOff > 0 {
		rows = append(rows, [2]string{"actual cost", fmt.Sprintf("%s credited, %s owed, %s beyond debt max", count(credited), count(owed), count(cutOff))})
	}
	return rows
}

func editFacts(e *scheduler.Edit) [][2]string {
	if e == nil {
		return nil
	}
	return [][2]string{{"last edit", fmt.Sprintf("%s by %s: %s", clock(e.At), e.By, e.What)}}
}

func overrideFacts(list []changed) [][2]string {
	var rows [][2]string
	for _, d := range list {
		rows = append(rows, [2]string{"OVERRIDE", fmt.Sprintf("%s is %s, the file says %s", d.name, d.from, d.to)})
	}
	return rows
}

// limitReason says in words whether the limit lets a task start, and what to do.
func limitReason(l scheduler.Limit) string {
	switch limitState(l) {
	case "frozen":
		return fmt.Sprintf("The upstream said slow down: nothing under it starts for %s. To end that now: throttlectl limit reset %s", span(l.FrozenUntil.Sub(l.At)), l.Name)
	case "capped":
		return fmt.Sprintf("All %s are taken: the next task starts when one under it ends.", plural(int64(l.Concurrency), "place"))
	case "exhausted":
		return fmt.Sprintf("No token is there: the next comes in %s.", span(l.NextToken.Sub(l.At)))
	case "undeclared":
		return fmt.Sprintf("It lets a task start now. The file of owner %q does not declare it any more; it stays in force until: throttlectl limit remove %s", l.Owner, l.Name)
	}
	if len(l.Rates) == 0 && l.Concurrency == 0 {
		return "It limits nothing: it has no rate and no concurrency."
	}
	return "It lets a task start now."
}

// spelledLimit are the settings of a limit as people read and type them.
func spelledLimit(s scheduler.LimitSpec, o *scheduler.Override) [][2]string {
	return [][2]string{
		{"rate", rateText(s.Rates, o)},
		{"concurrency", bound(s.Concurrency)},
		{"debt-max", count(s.DebtMax)},
	}
}

// ratesWords says what rates mean together.
func ratesWords(rs ratelimit.Rates) string {
	if len(rs) == 0 {
		return rateWords(ratelimit.Rate{})
	}
	words := make([]string, len(rs))
	for i, r := range rs {
		words[i] = rateWords(r)
	}
	return strings.Join(words, "; ")
}
