package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/throttlerd/throttlerd/scheduler"
)

func (a *app) taskExplainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "explain ID",
		Short: "Say why a task does not run, or what became of it, and what to do",
		Long: `Says in one word and one sentence why a task does not run, what it needs and what there
is, when it may start and what that rests on, and what to type.

Waiting: paused, undeclared, damaged, no_limit (its queue cannot start anything); no_worker,
plugin_down, no_slots (nobody can run it); rate, limit, key, concurrency, frozen, never (a
limit has no room for it); behind (others are before it), ready. Else scheduled, reserved
(for an instant that is about to come), running, worker_lost, done, dead, cancelled, expired.`,
		Example: `  throttlectl task explain order-4711
  throttlectl task explain order-4711 --json | jq -r .reason`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.connected(func(s *session) error { return s.explainTask(args[0]) })
		},
	}
}

func (s *session) explainTask(id string) error {
	e, err := s.Explain(s.ctx, id)
	if err != nil {
		return err
	}
	if s.a.json {
		return s.a.printJSON(viewExplanation(e))
	}
	s.a.facts(explainFacts(e))
	s.a.printf("\n%s\n", safe(because(e)))
	for _, r := range steps(e) {
		s.a.printf("%s: %s\n", safe(r.To), safe(r.Command))
	}
	return nil
}

func explainFacts(e scheduler.Explanation) [][2]string {
	t := e.Task
	rows := [][2]string{{"task", t.ID}, {"queue", t.Queue}, {"state", t.State}, {"reason", e.Reason}}
	add := func(name, format string, args ...any) {
		rows = append(rows, [2]string{name, fmt.Sprintf(format, args...)})
	}
	if t.State == "waiting" {
		add("position", "%s", positionText(t.Position))
	}
	if text := startText(e); text != "" {
		add("can start", "%s", text)
	}
	if len(e.RestsOn) > 0 {
		add("if", "%s", strings.Join(e.RestsOn, "; "))
	}
	if p := progressText(t.Progress); p != "" {
		add("progress", "%s", p)
	}
	add("attempts", "%s of %s", count(int64(t.Attempts)), count(int64(e.Queue.Retry.MaxAttempts)))
	if t.LastError != "" {
		add("last error", "%s", cut(flat(t.LastError), maxShown))
	}
	return rows
}

// startText is when a task that waits may start: an instant, or two where it is not known
// better.
func startText(e scheduler.Explanation) string {
	switch {
	case e.Earliest.IsZero():
		return ""
	case e.Task.State == "scheduled":
		return "not before " + clock(e.Earliest)
	case !e.Earliest.After(e.At) && !e.Latest.After(e.At):
		return "now"
	case e.Latest.IsZero():
		return hence(e.Earliest, e.At) + " or later"
	case e.Latest.Equal(e.Earliest):
		return hence(e.Earliest, e.At)
	}
	return fmt.Sprintf("in %s to %s (%s to %s)", span(max(0, e.Earliest.Sub(e.At))), span(e.Latest.Sub(e.At)), clock(e.Earliest), clock(e.Latest))
}

// because is the reason as a sentence.
func because(e scheduler.Explanation) string {
	t, q := e.Task, e.Queue
	switch e.Reason {
	case scheduler.ReasonReserved:
		return fmt.Sprintf("Worker %s has reserved its tokens and starts it %s.", t.Worker, hence(t.StartedAt, e.At))
	case scheduler.ReasonRunning:
		end := t.StartedAt.Add(q.Timeout)
		return fmt.Sprintf("It has run on worker %s for %s; it times out %s.", t.Worker, span(e.At.Sub(t.StartedAt)), hence(end, e.At))
	case scheduler.ReasonWorkerLost:
		return fmt.Sprintf("Worker %s, which ran it, has lost its lease%s. A live worker takes it back to the front of its queue, uncharged.", t.Worker, lostText(e))
	case "done":
		return fmt.Sprintf("It was done %s, after %s on worker %s; its result has %s%s.", pastText(t.At, e.At), span(t.At.Sub(t.StartedAt)), t.Worker,
			plural(int64(len(t.Result)), "byte"), map[bool]string{true: ", and was cut"}[t.Truncated])
	case "dead":
		return fmt.Sprintf("It died %s, and is not tried again by itself.", pastText(t.At, e.At))
	case "cancelled", "expired":
		return fmt.Sprintf("It was %s %s.", t.State, pastText(t.At, e.At))
	case scheduler.ReasonScheduled:
		text := fmt.Sprintf("It starts %s or later", hence(e.Earliest, e.At))
		if t.LastError != "" {
			text = fmt.Sprintf("Its last run failed; the next starts %s or later", hence(e.Earliest, e.At))
		}
		if why := unservedText(e, e.Unserved()); why != "" {
			text += ". As things stand it waits then, for " + why
		}
		return text + "."
	}
	return upper(waitsFor(e)) + "."
}

// waitsFor is why a task whose instant has come does not run.
func waitsFor(e scheduler.Explanation) string {
	if why := unservedText(e, e.Reason); why != "" {
		return strings.TrimSuffix(why, ".")
	}
	switch {
	case e.Reason == scheduler.ReasonNoSlots:
		ws := e.Serving()
		return fmt.Sprintf("it may start, but no slot of handler %q is free: %s on %s", e.Queue.Handler, plural(slots(ws, e.Queue.Handler), "slot"), plural(int64(len(ws)), "live worker"))
	case e.Binding != nil:
		return "held up by " + bindingText(e.Binding, e.At)
	case e.Reason == scheduler.ReasonBehind:
		return "no limit holds it up; the tasks before it go first"
	}
	text := "nothing holds it up: it starts with the next claim, within a second"
	if slices.ContainsFunc(e.Serving(), func(w scheduler.Worker) bool { return len(w.Slots) > 1 }) {
		text += ", unless tasks of other handlers have all that its worker runs at once"
	}
	return text
}

// unservedText is why nothing of its queue starts; "" for a reason that is the task's own.
func unservedText(e scheduler.Explanation, reason string) string {
	q := e.Queue
	switch reason {
	case scheduler.ReasonPaused:
		return "its queue is paused"
	case scheduler.ReasonUndeclared:
		return fmt.Sprintf("the file of owner %q does not declare its queue any more", q.Owner)
	case scheduler.ReasonDamaged:
		return "the rate that Redis holds for its queue cannot be read"
	case scheduler.ReasonNoLimit:
		return fmt.Sprintf("its queue names limit %q, which is not there", e.NoLimit)
	case scheduler.ReasonNoWorker:
		why, _ := whoElse(q, e.Workers)
		return why
	case scheduler.ReasonPluginDown:
		return downText(e.Serving(), q.Handler)
	}
	return ""
}

// step is what a person may type.
type step struct {
	To      string `json:"to"`
	Command string `json:"command"`
}

func steps(e scheduler.Explanation) (out []step) {
	t, q := e.Task, e.Queue
	add := func(to, format string, args ...any) {
		out = append(out, step{to, "throttlectl " + fmt.Sprintf(format, args...)})
	}
	limit := ""
	if e.Binding != nil {
		limit = namedLimit(e.Binding.Limit)
	}
	reason := e.Reason
	if reason == scheduler.ReasonScheduled {
		add("To let it wait for its turn now", "task retry %s", t.ID)
		reason = e.Unserved()
	}
	switch reason {
	case scheduler.ReasonPaused:
		add("To start the queue", "queue resume %s", q.Name)
	case scheduler.ReasonUndeclared:
		add("To let go of the queue and its tasks, unless a file declares it again", "queue remove %s --force", q.Name)
	case scheduler.ReasonDamaged:
		add("To set the rate", "queue update %s --rate RATE", q.Name)
	case scheduler.ReasonNoLimit:
		add("To make it", "limit set %s --rate RATE", e.NoLimit)
	case scheduler.ReasonNoWorker:
		if _, command := whoElse(q, e.Workers); command != "" {
			return append(out, step{"To start a worker", command})
		}
		add("To see who serves what", "worker list")
	case scheduler.ReasonPluginDown:
		add("To see why", "handler show %s", q.Handler)
	case scheduler.ReasonNever:
		if limit != "" {
			add("To raise its burst", "limit set %s --rate RATE", limit)
		} else if e.Binding.Limit == "queue" {
			add("To raise its burst", "queue update %s --rate RATE", q.Name)
		}
		add("To give the task up", "task cancel %s", t.ID)
	case scheduler.ReasonFrozen:
		if limit != "" {
			add("To end the freeze now", "limit reset %s", limit)
		}
	case scheduler.ReasonRate:
		add("To change the rate", "queue update %s --rate RATE", q.Name)
	case scheduler.ReasonLimit:
		add("To see it", "limit show %s", limit)
		add("To change it for a while", "limit set %s --rate RATE --for 1h", limit)
	case scheduler.ReasonConcurrency:
		if limit != "" {
			add("To see it", "limit show %s", limit)
			add("To raise it", "limit set %s --concurrency N", limit)
			break
		}
		add("To see what runs", "task list -q %s --state running", q.Name)
		add("To raise it", "queue update %s --concurrency N", q.Name)
	case scheduler.ReasonKey:
		add("To see what bounds its key", "queue show %s", q.Name)
	case scheduler.ReasonNoSlots:
		add("To see what runs", "worker list")
	case scheduler.ReasonBehind:
		add("To see what is before it", "task list -q %s --state waiting", q.Name)
	case scheduler.ReasonRunning, scheduler.ReasonReserved:
		add("To see what else its worker runs", "worker show %s --detailed", t.Worker)
		add("To stop it", "task cancel %s", t.ID)
	case scheduler.ReasonWorkerLost:
		add("To see who is alive", "worker list")
	case "done":
		add("To see the result", "task show %s", t.ID)
	case "dead":
		add("To run it again, with all its attempts", "task retry %s", t.ID)
		add("To let go of it", "dead delete %s", t.ID)
	}
	return out
}

func lostText(e scheduler.Explanation) string {
	w, ok := e.Holder()
	if !ok {
		return ""
	}
	return ", last heard of " + ageText(w, e.At)
}

func pastText(t, now time.Time) string {
	return fmt.Sprintf("at %s (%s ago)", clock(t), span(max(0, now.Sub(t))))
}

// upper begins a sentence.
func upper(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
