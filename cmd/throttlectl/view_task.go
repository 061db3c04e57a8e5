package main

import (
	"strings"
	"time"

	"github.com/throttlerd/throttlerd/scheduler"
)

// taskView is a task in JSON.
type taskView struct {
	ID              string            `json:"id"`
	Queue           string            `json:"queue"`
	State           string            `json:"state"`
	Type            *string           `json:"type"`
	Key             *string           `json:"key"`
	Headers         map[string]string `json:"headers"`
	Payload         any               `json:"payload"`        // the JSON value; a string if it is none
	Cost            int64             `json:"cost"`           // tokens of each limit that costs does not name
	Costs           map[string]int64  `json:"costs"`          // by limit
	Position        *int64            `json:"position"`       // of a waiting task: how many are before it, -1 for over 10,000
	EarliestStart   *time.Time        `json:"earliest_start"` // of a waiting task, by all limits
	Binding         *bindingView      `json:"binding"`        // the limit that holds a waiting task up
	Attempts        int               `json:"attempts"`
	Crashes         int               `json:"crashes"`
	Throttles       int               `json:"throttles"`
	LastError       *string           `json:"last_error"`
	SubmittedAt     *time.Time        `json:"submitted_at"`
	ScheduledAt     *time.Time        `json:"scheduled_at"` // of a scheduled task
	StartedAt       *time.Time        `json:"started_at"`   // of the last run
	EndedAt         *time.Time        `json:"ended_at"`     // of a dead or ended task
	Progress        *progressView     `json:"progress"`     // of a running task that tells any; null in lists
	Worker          *string           `json:"worker"`
	Result          any               `json:"result"` // as payload; null if there is none
	ResultTruncated bool              `json:"result_truncated"`
}

func viewTask(t scheduler.Task) taskView {
	v := taskView{
		ID: t.ID, Queue: t.Queue, State: t.State, Type: optional(t.Type), Key: optional(t.Key), Headers: t.Headers,
		Payload: content(t.Payload), Attempts: t.Attempts, Crashes: t.Crashes, Throttles: t.Throttles,
		LastError: optional(t.LastError), SubmittedAt: instant(t.SubmittedAt), StartedAt: instant(t.StartedAt),
		Progress: viewProgress(t.Progress), Worker: optional(t.Worker), Result: content(t.Result), ResultTruncated: t.Truncated,
		Cost: max(1, t.Cost), Costs: t.Costs, EarliestStart: instant(t.EarliestStart), Binding: viewBinding(t.Binding, time.Now()),
	}
	if v.Costs == nil {
		v.Costs = map[string]int64{}
	}
	if t.State == "waiting" {
		v.Position = &t.Position
	}
	if v.Headers == nil {
		v.Headers = map[string]string{}
	}
	switch t.State {
	case "scheduled":
		v.ScheduledAt = instant(t.At)
	case "waiting", "running":
	default:
		v.EndedAt = instant(t.At)
	}
	return v
}

// when is the instant that matters most of a task, for a person. Instants are by the
// clock of Redis, distances by ours.
func when(t scheduler.Task) string {
	switch t.State {
	case "waiting":
		return "submitted " + ago(t.SubmittedAt)
	case "scheduled":
		if wait := time.Until(t.At); wait > 0 {
			return "in " + span(wait)
		}
		return "due"
	case "running":
		if wait := time.Until(t.StartedAt); wait > 0 {
			return "starts in " + span(wait) // reserved ahead
		}
		return "started " + ago(t.StartedAt)
	}
	return ago(t.At)
}

func ago(t time.Time) string { return span(max(0, time.Since(t))) + " ago" }

// brief is the first line of an error, short enough for a table.
func brief(s string) string {
	line, _, more := strings.Cut(s, "\n")
	if r := []rune(line); len(r) > 60 {
		line, more = string(r[:60]), true
	}
	if more {
		line += "…"
	}
	return line
}
