package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/throttlerd/throttlerd/scheduler"
)

// queueView is a queue in JSON.
type queueView struct {
	Name               string   `json:"name"`
	Handler            string   `json:"handler"`
	Pool               string   `json:"pool"`
	Rate               string   `json:"rate"` // canonical, with commas between; or "unlimited"
	State              string   `json:"state"`
	Paused             bool     `json:"paused"`
	BlockedBy          *string  `json:"blocked_by"`
	Waiting            int64    `json:"waiting"`
	Scheduled          int64    `json:"scheduled"`
	Running            int64    `json:"running"`
	Dead               int64    `json:"dead"`
	CompletedTotal     int64    `json:"completed_total"`
	FailedTotal        int64    `json:"failed_total"`
	Tokens             *float64 `json:"tokens"` // these three: null without a rate
	Capacity           *int64   `json:"capacity"`
	NextTokenInSeconds *float64 `json:"next_token_in_seconds"`

	Limits            []string            `json:"limits"`      // that it names
	Concurrency       int                 `json:"concurrency"` // 0: no cap
	DebtMax           int64               `json:"debt_max"`
	Key               *keyView            `json:"key"` // null where keys are not bounded
	Exceptions        map[string]ruleView `json:"exceptions"`
	ActiveKeys        int64               `json:"active_keys"` // with waiting tasks
	Override          *overrideView       `json:"override"`
	Binding           *bindingView        `json:"binding"` // null where nothing holds its next task up
	TokensSpentTotal  int64               `json:"tokens_spent_total"`
	TokensWastedTotal int64               `json:"tokens_wasted_total"`
	CreditedTotal     int64               `json:"tokens_credited_total"`
	OwedTotal         int64               `json:"tokens_owed_total"`
	CutTotal          int64               `json:"tokens_cut_total"` // owed beyond debt_max, not taken
	LastEdit          *editView           `json:"last_edit"`

	FrozenUntil        *time.Time    `json:"frozen_until"`
	LiveWorkers        int           `json:"live_workers"` // that serve it
	TimeoutSeconds     float64       `json:"timeout_seconds"`
	Retry              retryView     `json:"retry"`
	History            int           `json:"history"`
	MaxLength          *int          `json:"max_length"`           // null: no bound
	ExpireAfterSeconds *float64      `json:"expire_after_seconds"` // null: never
	Owner              *string       `json:"owner"`
	Declared           *settingsView `json:"declared"` // null where the file's settings are in force
	CreatedAt          *time.Time    `json:"created_at"`
}

type retryView struct {
	MaxAttempts int     `json:"max_attempts"`
	MinSeconds  float64 `json:"min_seconds"`
	MaxSeconds  float64 `json:"max_seconds"`
	Jitter      float64 `json:"jitter"`
}

// settingsView is what a file declares of a queue that was overridden.
type settingsView struct {
	Handler            string              `json:"handler"`
	Pool               string              `json:"pool"`
	Rate               string              `json:"rate"`
	Limits             []string            `json:"limits"`
	Concurrency        int                 `json:"concurrency"`
	DebtMax            int64               `json:"debt_max"`
	Key                *keyView            `json:"key"`
	Exceptions         map[string]ruleView `json:"exceptions"`
	Paused             bool                `json:"paused"`
	TimeoutSeconds     float64             `json:"timeout_seconds"`
	Retry              retryView           `json:"retry"`
	History            int                 `json:"history"`
	MaxLength          *int                `json:"max_length"`
	ExpireAfterSeconds *float64            `json:"expire_after_seconds"`
}

// viewQueue needs the workers that are known, to tell whether somebody serves it.
func viewQueue(q scheduler.Queue, workers []scheduler.Worker) queueView {
	v := queueView{
		Name: q.Name, Handler: q.Handler, Pool: q.Pool, Rate: q.Rates.String(), State: queueState(q), Paused: q.Paused,
		BlockedBy: optional(blockedBy(q, workers)), LiveWorkers: len(serving(q, workers)),
		Waiting: q.Waiting, Scheduled: q.Scheduled, Running: q.Running, Dead: q.Dead,
		CompletedTotal: q.Completed, FailedTotal: q.Failed,
		Limits: list(q.Limits), Concurrency: q.Concurrency, DebtMax: q.DebtMax, Key: viewKey(q.Key), Exceptions: viewExceptions(q.Exceptions),
		ActiveKeys: q.ActiveKeys, Override: viewOverride(q.LimitSpec, q.Override), Binding: viewBinding(q.Binding, q.At),
		TokensSpentTotal: q.TokensSpent, TokensWastedTotal: q.TokensWasted, FrozenUntil: instant(q.FrozenUntil),
		CreditedTotal: q.Credited, OwedTotal: q.Owed, CutTotal: q.Cut, LastEdit: viewEdit(q.LastEdit),
		TimeoutSeconds: q.Timeout.Seconds(), Retry: viewRetry(q.Retry), History: q.History, MaxLength: optional(q.MaxLength),
		ExpireAfterSeconds: optional(q.ExpireAfter.Seconds()), Owner: optional(q.Owner), CreatedAt: instant(q.Created),
	}
	v.Tokens, v.Capacity, v.NextTokenInSeconds = viewTokens(q.LimitSpec, q.Bucket)
	if d := q.Declared; d != nil {
		v.Declared = &settingsView{
			Handler: d.Handler, Pool: d.Pool, Rate: d.Rates.String(), Paused: d.Paused,
			Limits: list(d.Limits), Concurrency: d.Concurrency, DebtMax: d.DebtMax, Key: viewKey(d.Key), Exceptions: viewExceptions(d.Exceptions),
			TimeoutSeconds: d.Timeout.Seconds(), Retry: viewRetry(d.Retry), History: d.History, MaxLength: optional(d.MaxLength),
			ExpireAfterSeconds: optional(d.ExpireAfter.Seconds()),
		}
	}
	return v
}

func viewRetry(r scheduler.Retry) retryView {
	return retryView{MaxAttempts: r.MaxAttempts, MinSeconds: r.Min.Seconds(), MaxSeconds: r.Max.Seconds(), Jitter: r.Jitter}
}

// expires says when the queue goes by itself.
func expires(q scheduler.Queue) string {
	if q.ExpireAfter == 0 {
		return "never"
	}
	return exact(q.ExpireAfter) + " after its last task, once its bucket is full"
}

func queueState(q scheduler.Queue) string {
	if q.Held == "" {
		return "active"
	}
	return q.Held
}

// serving are the live workers that serve the queue.
func serving(q scheduler.Queue, workers []scheduler.Worker) []scheduler.Worker {
	return live(scheduler.Serving(workers, q.Name, q.Pool, q.Handler), q.At)
}

// blockedBy is the first thing to see to before a task of the queue can start: what a
// person did, then that nobody is there, then what passes by itself.
func blockedBy(q scheduler.Queue, workers []scheduler.Worker) string {
	ws := serving(q, workers)
	switch {
	case q.Held != "":
		return q.BlockedBy
	case len(ws) == 0:
		return nobody(q.Pool, q.Handler)
	case allDown(ws, q.Handler):
		return fmt.Sprintf("handler %q is down", q.Handler)
	}
	return q.BlockedBy
}

// allDown tells whether a handler has no process on any of its workers.
func allDown(ws []scheduler.Worker, handler string) bool {
	return !slices.ContainsFunc(ws, func(w scheduler.Worker) bool { _, down := w.DownReason(handler); return !down })
}

// downText says so, and why on the first.
func downText(ws []scheduler.Worker, handler string) string {
	why, _ := ws[0].DownReason(handler)
	if why != "" {
		why = ": " + brief(why)
	}
	return fmt.Sprintf("handler %q is down on %s that could run it%s", handler, plural(int64(len(ws)), "live worker"), why)
}

// blockedText is blockedBy for a column. What one task lacks of a queue's own tokens or
// places stands in others.
func blockedText(q scheduler.Queue, workers []scheduler.Worker) string {
	s := blockedBy(q, workers)
	switch {
	case s == "" || s != q.BlockedBy || q.Held != "" || q.Binding == nil:
		return s
	case q.Binding.Need == 1 && (s == "rate" || s == "concurrency"):
		return s
	case s == "keys":
		return "keys; " + bindingText(q.Binding, q.At)
	}
	return bindingText(q.Binding, q.At)
}

// drained is how long the slowest rate takes until n tasks have a token each, from the
// level of the snapshot on.
func drained(q scheduler.Queue, n int64) time.Duration {
	longest := 0.0
	for _, r := range q.Rates {
		longest = max(longest, (float64(n)-q.Tokens)*float64(r.Period)/float64(r.N))
	}
	return time.Duration(longest)
}
