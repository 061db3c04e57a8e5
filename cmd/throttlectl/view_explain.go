package main

import (
	"time"

	"github.com/throttlerd/throttlerd/scheduler"
)

// explainView is why a task does not run, or what became of it, in JSON.
type explainView struct {
	ID             string        `json:"id"`
	Queue          string        `json:"queue"`
	State          string        `json:"state"`
	Reason         string        `json:"reason"` // one word, as task explain --help lists them
	Why            string        `json:"why"`    // the same as a sentence
	Limit          *string       `json:"limit"`  // `queue`, `key "acme"` or `limit "github"`; these four: where the reason is a limit
	Unit           *string       `json:"unit"`   // "token" or "place"
	Need           *int64        `json:"need"`
	Have           *int64        `json:"have"`
	Position       *int64        `json:"position"`       // of a waiting task: how many are before it, -1 for over 10,000
	EarliestStart  *time.Time    `json:"earliest_start"` // null where no instant is known
	LatestStart    *time.Time    `json:"latest_start"`   // if what rests_on says holds
	RestsOn        []string      `json:"rests_on"`
	Steps          []step        `json:"steps"` // what a person may type
	Attempts       int           `json:"attempts"`
	MaxAttempts    int           `json:"max_attempts"`
	LastError      *string       `json:"last_error"`
	Worker         *string       `json:"worker"` // that runs it, or ran it last
	StartedAt      *time.Time    `json:"started_at"`
	RunningSeconds *float64      `json:"running_seconds"` // of a running task, as the next two
	TimeoutAt      *time.Time    `json:"timeout_at"`
	Progress       *progressView `json:"progress"`
	EndedAt        *time.Time    `json:"ended_at"`     // of a dead or ended task
	ResultBytes    *int          `json:"result_bytes"` // of a done task
}

func viewExplanation(e scheduler.Explanation) explainView {
	t := e.Task
	task := viewTask(t)
	v := explainView{
		ID: t.ID, Queue: t.Queue, State: t.State, Reason: e.Reason, Why: because(e), Position: task.Position,
		EarliestStart: instant(e.Earliest), LatestStart: instant(e.Latest), RestsOn: list(e.RestsOn), Steps: list(steps(e)),
		Attempts: t.Attempts, MaxAttempts: e.Queue.Retry.MaxAttempts, LastError: task.LastError, Worker: task.Worker,
		StartedAt: task.StartedAt, Progress: task.Progress, EndedAt: task.EndedAt,
	}
	if b := e.Binding; b != nil {
		unit := bindingUnit(b)
		v.Limit, v.Unit, v.Need, v.Have = &b.Limit, &unit, &b.Need, &b.Have
	}
	switch t.State {
	case "running":
		ran, end := max(0, e.At.Sub(t.StartedAt).Seconds()), t.StartedAt.Add(e.Queue.Timeout).UTC()
		v.RunningSeconds, v.TimeoutAt = &ran, &end
	case "done":
		n := len(t.Result)
		v.ResultBytes = &n
	}
	return v
}
