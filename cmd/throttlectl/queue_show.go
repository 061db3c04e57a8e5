package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/throttlerd/throttlerd/scheduler"
)

func (a *app) queueShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME",
		Short: "Show one queue, and why nothing of it is moving",
		Long: `Shows one queue: its counts, its tokens and when the next one comes, its settings, who
serves it, and in the last lines what keeps its tasks from starting and what to type.`,
		Example: `  throttlectl queue show emails
  throttlectl queue show emails --json | jq .blocked_by`,
		Args: cobra.ExactArgs(1),
		RunE: a.onQueue((*session).showQueue),
	}
}

func (s *session) showQueue(name string) error {
	q, err := s.Queue(s.ctx, name)
	if err != nil {
		return err
	}
	workers, err := s.Workers(s.ctx)
	if err != nil {
		return err
	}
	if s.a.json {
		return s.a.printJSON(viewQueue(q, workers))
	}
	s.a.facts(queueFacts(q, workers))
	s.a.printf("\n")
	for _, line := range verdict(q, workers) {
		s.a.printf("%s\n", safe(line))
	}
	return nil
}

func queueFacts(q scheduler.Queue, workers []scheduler.Worker) [][2]string {
	blocked := blockedBy(q, workers)
	if blocked == "" {
		blocked = "nothing"
	}
	rows := [][2]string{
		{"queue", q.Name},
		{"state", queueState(q)},
		{"blocked by", blocked},
	}
	if q.Binding != nil {
		rows = append(rows, [2]string{"held up by", bindingText(q.Binding, q.At)})
	}
	rows = append(rows, bucketFacts(q.LimitSpec, q.Bucket)...)
	rows = append(rows, boundFacts(q)...)
	rows = append(rows,
		[2]string{"waiting", count(q.Waiting)},
		[2]string{"scheduled", count(q.Scheduled)},
		[2]string{"running", runningText(q.Running, q.Concurrency)},
		[2]string{"dead", count(q.Dead)},
		[2]string{"completed", count(q.Completed)},
		[2]string{"failed runs", count(q.Failed)},
	)
	rows = append(rows, spentFacts(q.TokensSpent, q.TokensWasted, q.Credited, q.Owed, q.Cut)...)
	rows = append(rows,
		[2]string{"handler", q.Handler},
		[2]string{"pool", q.Pool},
		[2]string{"served by", servedBy(q, workers)},
		[2]string{"timeout", exact(q.Timeout)},
		[2]string{"retry", fmt.Sprintf("%s, delays %s to %s, jitter %s", plural(int64(q.Retry.MaxAttempts), "attempt"), exact(q.Retry.Min), exact(q.Retry.Max), level(q.Retry.Jitter))},
		[2]string{"history", fmt.Sprintf("%s of %s kept", count(q.Ended), plural(int64(q.History), "ended task"))},
		[2]string{"max length", maxLength(q)},
		[2]string{"expires", expires(q)},
		[2]string{"created", clock(q.Created)},
	)
	rows = append(rows, editFacts(q.LastEdit)...)
	if q.Owner != "" {
		rows = append(rows, [2]string{"declared by", fmt.Sprintf("the file of owner %q%s", q.Owner, map[bool]string{true: ", but not any more"}[q.Undeclared])})
	}
	if q.Declared != nil {
		rows = append(rows, overrideFacts(difference(q.QueueSpec, *q.Declared))...)
	}
	return rows
}

// boundFacts are what the queue's tasks are under beside its own limit.
func boundFacts(q scheduler.Queue) [][2]string {
	var rows [][2]string
	if len(q.Limits) > 0 {
		rows = append(rows, [2]string{"limits", names(q.Limits)})
	}
	if q.Key != nil {
		rows = append(rows, [2]string{"each key", keyText(q.Key)})
	}
	for _, key := range slices.Sorted(maps.Keys(q.Exceptions)) {
		rows = append(rows, [2]string{"key " + key, ruleText(q.Exceptions[key])})
	}
	if q.Key != nil {
		rows = append(rows, [2]string{"active keys", count(q.ActiveKeys)})
	}
	return rows
}

func maxLength(q scheduler.Queue) string {
	if q.MaxLength == 0 {
		return "none"
	}
	return fmt.Sprintf("%s waiting and scheduled; more are refused", count(int64(q.MaxLength)))
}

func servedBy(q scheduler.Queue, workers []scheduler.Worker) string {
	ws := serving(q, workers)
	if len(ws) == 0 {
		return "no live worker"
	}
	return fmt.Sprintf("%s with %s", plural(int64(len(ws)), "live worker"), plural(slots(ws, q.Handler), "slot"))
}

// verdict says in words why tasks of the queue start or do not, and what to do.
func verdict(q scheduler.Queue, workers []scheduler.Worker) []string {
	lines := []string{reason(q, workers)}
	if q.Dead > 0 {
		lines = append(lines, fmt.Sprintf("%s: throttlectl task list -q %s --state dead", plural(q.Dead, "dead task"), q.Name))
	}
	return lines
}

func reason(q scheduler.Queue, workers []scheduler.Worker) string {
	waits := "Nothing waits now"
	if q.Waiting > 0 {
		waits = plural(q.Waiting, "task") + map[bool]string{true: " waits", false: " wait"}[q.Waiting == 1]
	}
	ws := serving(q, workers)
	switch {
	case q.Held == "paused":
		return fmt.Sprintf("%s: the queue is paused. To start it: throttlectl queue resume %s", waits, q.Name)
	case q.Held == "undeclared":
		return fmt.Sprintf("%s: the file of owner %q does not declare the queue any more, so nothing of it starts. Declare it again, or: throttlectl queue remove %s --force", waits, q.Owner, q.Name)
	case q.Held == "damaged":
		return fmt.Sprintf("%s: the rate that Redis holds for the queue cannot be read, so nothing of it starts. Set it: throttlectl queue update %s --rate RATE", waits, q.Name)
	case len(ws) == 0:
		why, command := whoElse(q, workers)
		if command != "" {
			why += ". Start one with: " + command
		}
		return fmt.Sprintf("%s: %s", waits, why)
	case allDown(ws, q.Handler):
		return fmt.Sprintf("%s: %s. See: throttlectl handler show %s", waits, downText(ws, q.Handler), q.Handler)
	case !q.FrozenUntil.IsZero():
		return fmt.Sprintf("%s: the upstream said slow down; tasks start again in %s.", waits, span(q.FrozenUntil.Sub(q.At)))
	case q.Waiting == 0 && q.Scheduled > 0:
		return fmt.Sprintf("%s; %s for later.", waits, plural(q.Scheduled, "task")+map[bool]string{true: " is scheduled", false: " are scheduled"}[q.Scheduled == 1])
	case q.Waiting == 0:
		return waits + "; a task that is submitted starts as soon as there is a token and a free slot."
	case q.BlockedBy == "rate" && (q.Binding == nil || q.Binding.Why == "rate"):
		return fmt.Sprintf("%s for tokens: the next comes in %s, and they are all covered in %s.", waits, span(q.NextToken.Sub(q.At)), span(drained(q, q.Waiting)))
	case q.BlockedBy != "":
		return waits + ": " + boundReason(q)
	}
	n := slots(ws, q.Handler)
	return fmt.Sprintf("%s and may start now. If none does, all %s of handler %q are taken by other tasks: throttlectl worker list", waits, plural(n, "slot"), q.Handler)
}

// boundReason is what holds the next task up, where it is not the queue's own rate.
func boundReason(q scheduler.Queue) string {
	why := q.BlockedBy + " has no room"
	if q.Binding != nil {
		why = bindingText(q.Binding, q.At)
	}
	switch q.BlockedBy {
	case "concurrency":
		return fmt.Sprintf("all %s of the queue are taken; the next starts when one ends.", plural(int64(q.Concurrency), "place"))
	case "keys":
		return fmt.Sprintf("each of %s with work is held up by its own bounds; %s.", plural(q.ActiveKeys, "key"), why)
	}
	if name := namedLimit(q.BlockedBy); name != "" {
		return why + ". See: throttlectl limit show " + name
	}
	return why + "."
}

// whoElse says that nobody serves the queue, and what live workers of its pool do serve; or
// the command that starts one, where there is none.
func whoElse(q scheduler.Queue, workers []scheduler.Worker) (why, command string) {
	alive := slices.DeleteFunc(live(workers, q.At), func(w scheduler.Worker) bool { return w.Draining })
	names := handlers(alive, q.Pool)
	switch {
	case len(alive) == 0:
		return nobody(q.Pool, q.Handler) + "; no worker is alive", runPool(q.Pool)
	case len(names) == 0:
		return fmt.Sprintf("no live worker serves pool %q", q.Pool), runPool(q.Pool)
	case slices.Contains(names, q.Handler): // with --queue
		return fmt.Sprintf("those live workers that serve handler %q serve other queues only", q.Handler), runPool(q.Pool)
	}
	return nobody(q.Pool, q.Handler) + fmt.Sprintf(". Live workers of pool %q serve: %s%s.", q.Pool, strings.Join(names, ", "), didYouMean(q.Handler, names)), ""
}

// runPool is the command that starts a worker of a pool.
func runPool(pool string) string {
	if pool == scheduler.DefaultPool {
		return "throttlerd run"
	}
	return "throttlerd run --pool " + pool
}
