package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/throttlerd/throttlerd/scheduler"
)

const maxShown = 2000 // bytes of a payload, result or error

func (a *app) taskShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Show one task with its payload, last error and result",
		Long: `Shows one task. Long payloads and results are cut, and characters that would steer the
terminal are escaped; --json prints everything. Ended tasks are known as long as their
queue's history keeps them.`,
		Example: `  throttlectl task show order-4711
  throttlectl task show order-4711 --json | jq .payload`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.connected(func(s *session) error { return s.showTask(args[0]) })
		},
	}
}

func (s *session) showTask(id string) error {
	t, err := s.Task(s.ctx, id)
	if err != nil {
		return err
	}
	if s.a.json {
		return s.a.printJSON(viewTask(t))
	}
	s.a.facts(taskFacts(t))
	return nil
}

func taskFacts(t scheduler.Task) [][2]string {
	var rows [][2]string
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, [2]string{name, value})
		}
	}
	add("task", t.ID)
	add("queue", t.Queue)
	add("state", t.State)
	add("type", t.Type)
	add("key", t.Key)
	for _, name := range slices.Sorted(maps.Keys(t.Headers)) {
		add("header "+name, cut(t.Headers[name], maxShown))
	}
	add("cost", costText(t.Cost, t.Costs))
	if t.State == "waiting" {
		add("position", positionText(t.Position))
	}
	if !t.EarliestStart.IsZero() {
		text := hence(t.EarliestStart, time.Now())
		if t.State == "waiting" && t.Key != "" {
			text += " at the earliest" // those of other keys may go before it
		}
		add("can start", text)
	}
	if t.Binding != nil {
		add("held up by", bindingText(t.Binding, time.Now()))
	}
	add("submitted", fmt.Sprintf("%s, %s", clock(t.SubmittedAt), ago(t.SubmittedAt)))
	v := viewTask(t)
	if v.ScheduledAt != nil {
		add("starts", fmt.Sprintf("not before %s, %s", clock(t.At), when(t)))
	}
	if v.StartedAt != nil {
		add("started", clock(t.StartedAt))
	}
	if v.EndedAt != nil {
		add("ended", fmt.Sprintf("%s, %s", clock(t.At), ago(t.At)))
	}
	add("progress", progressText(t.Progress))
	add("worker", t.Worker)
	add("attempts", count(int64(t.Attempts)))
	if t.Crashes > 0 {
		add("crashes", plural(int64(t.Crashes), "death")+" of its plugin while it ran")
	}
	if t.Throttles > 0 {
		add("throttles", plural(int64(t.Throttles), "time"))
	}
	add("last error", cut(flat(t.LastError), maxShown))
	add("payload", shown(t.Payload))
	add("result", shown(t.Result))
	if t.Truncated {
		add("", "(the result was longer and has been cut)")
	}
	return rows
}

// positionText is how many tasks are before one.
func positionText(n int64) string {
	switch {
	case n < 0:
		return "more than 10,000 tasks before it"
	case n == 0:
		return "the next one"
	}
	return plural(n, "task") + " before it"
}

// shown is a payload or result for a person: JSON on one line.
func shown(b []byte) string {
	var line bytes.Buffer
	if json.Compact(&line, b) != nil {
		line.Reset()
		line.Write(b)
	}
	return cut(line.String(), maxShown)
}
