package main

import (
	"fmt"
	"time"

	"github.com/throttlerd/throttlerd/scheduler"
)

// watchPause is between two looks at the task that starts next.
const watchPause = 25 * time.Millisecond

// startView is a start that was seen, in JSON.
type startView struct {
	ID            string     `json:"id"`
	State         string     `json:"state"`
	StartedAt     *time.Time `json:"started_at"`     // null if it is not known (any more)
	OffsetSeconds *float64   `json:"offset_seconds"` // since the first start
}

// watch prints the starts of test tasks as they happen, until all have started. It looks
// at the next one only: a queue starts its tasks in their order.
type watch struct {
	*long
	queue string
	ids   []string
	seen  int
	known int       // starts whose instant was seen
	first time.Time // start
	last  time.Time
	width int
}

func (l *long) watchStarts(queue string, ids []string) error {
	w := &watch{long: l, queue: queue, ids: ids, width: len(fmt.Sprint(len(ids)))}
	if err := w.explain(); err != nil {
		return err
	}
	if err := l.a.flush(); err != nil { // the receipt comes before the starts
		return err
	}
	for w.seen < len(ids) {
		if err := l.step(); err != nil {
			return fmt.Errorf("%w: %s of %s had started; the others stay in queue %q", err, count(int64(w.seen)), plural(int64(len(ids)), "task"), queue)
		}
		more, err := w.look()
		if err != nil {
			return err
		}
		if more {
			continue
		}
		select {
		case <-l.stop.Done():
		case <-time.After(watchPause):
		}
	}
	w.sum()
	return nil
}

// explain says at once why nothing may start for long.
func (w *watch) explain() error {
	q, err := w.Queue(w.ctx, w.queue)
	if err != nil {
		return err
	}
	workers, err := w.Workers(w.ctx)
	if err != nil {
		return err
	}
	if why := blockedText(q, workers); why != "" && why != "rate" {
		w.a.note("Note: nothing of queue %q starts now: %s", w.queue, safe(why))
	}
	return nil
}

// look prints the next start if it has happened.
func (w *watch) look() (bool, error) {
	id := w.ids[w.seen]
	t, err := w.Task(w.ctx, id)
	switch {
	case isNotFound(err):
		t = scheduler.Task{ID: id, State: "gone"}
	case err != nil:
		return false, err
	case t.State == "waiting", t.State == "scheduled" && t.Attempts+t.Throttles == 0:
		return false, nil
	}
	w.seen++
	return true, w.print(t)
}

func (w *watch) print(t scheduler.Task) error {
	v := startView{ID: t.ID, State: t.State, StartedAt: instant(t.StartedAt)}
	var offset, gap time.Duration
	if !t.StartedAt.IsZero() {
		if w.first.IsZero() {
			w.first, w.last = t.StartedAt, t.StartedAt
		}
		offset, gap = t.StartedAt.Sub(w.first), t.StartedAt.Sub(w.last)
		seconds := offset.Seconds()
		v.OffsetSeconds = &seconds
		w.last = t.StartedAt
		w.known++
	}
	if w.a.json {
		if err := w.a.printLine(v); err != nil {
			return err
		}
		return w.a.flush()
	}
	when := "start not seen: " + notSeen[t.State]
	if !t.StartedAt.IsZero() {
		when = fmt.Sprintf("+%10.1f ms  (%8.1f ms after the one before)", ms(offset), ms(gap))
	}
	w.a.printf("%*d/%d  %s  %s\n", w.width, w.seen, len(w.ids), t.ID, when)
	return w.a.flush()
}

// notSeen is why the start of a task in a state cannot be told.
var notSeen = map[string]string{
	"gone":      "it has ended and is not kept",
	"scheduled": "it failed and waits for a retry",
	"dead":      "it failed for good",
	"cancelled": "it was cancelled",
	"expired":   "it expired",
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (w *watch) sum() {
	if w.a.json || w.known < 2 {
		return
	}
	took := w.last.Sub(w.first)
	line := fmt.Sprintf("%s in %s", plural(int64(w.known), "start"), span(took))
	if took > 0 {
		line += fmt.Sprintf(", %.3g/s", float64(w.known-1)/took.Seconds())
	}
	w.a.printf("%s\n", line)
}
