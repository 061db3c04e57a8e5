package main

import (
	"fmt"
	"time"

	"github.com/throttlerd/throttlerd/scheduler"
)

// receiptView is a receipt in JSON.
type receiptView struct {
	ID            string     `json:"id"`
	Queue         string     `json:"queue"`
	State         string     `json:"state"`
	Position      int64      `json:"position"`       // 0: a token is there now
	EarliestStart *time.Time `json:"earliest_start"` // by all limits; null while the queue is held

	Binding *bindingView `json:"binding"` // null when it can start now
}

func viewReceipt(r scheduler.Receipt) receiptView {
	return receiptView{ID: r.ID, Queue: r.Queue, State: r.State, Position: r.Position, EarliestStart: instant(r.EarliestStart), Binding: viewBinding(r.Binding, time.Now())}
}

// heldUp names the limit that holds a task up, behind what is said of it.
func heldUp(b *scheduler.Binding) string {
	if b == nil {
		return ""
	}
	return "; " + bindingText(b, time.Now())
}

// trialView is what queue test submitted, in JSON.
type trialView struct {
	Queue      string     `json:"queue"`
	Submitted  int        `json:"submitted"`
	FirstID    string     `json:"first_id"`
	LastID     string     `json:"last_id"`
	FirstStart *time.Time `json:"first_start"` // null while the queue is held
	LastStart  *time.Time `json:"last_start"`
}

// start says when a task may start by all its limits. The instant is by the clock of
// Redis, the distance by ours: between people "about" is enough.
func start(r scheduler.Receipt) string {
	wait, best := time.Until(r.EarliestStart), ""
	if r.BestCase {
		best = " at the earliest"
	}
	switch {
	case r.EarliestStart.IsZero() && r.Held == "undeclared":
		return "starts when a file declares the queue again"
	case r.EarliestStart.IsZero():
		return "starts when the queue is resumed"
	case r.State == "scheduled":
		return "starts at " + clock(r.EarliestStart) + " or later"
	case r.Position == 0 && r.Binding != nil && r.Binding.Why == "concurrency":
		return "starts when a place is free"
	case r.Position == 0 && (r.Binding == nil || r.Binding.Why != "frozen"):
		return "can start now" + best
	case wait < 10*time.Millisecond:
		return "can start in a moment"
	}
	return fmt.Sprintf("can start in about %s (%s)%s", span(wait), clock(r.EarliestStart), best)
}
