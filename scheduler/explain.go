package scheduler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
)

// The words of Explanation.Reason. Of a task that waits they name the first thing to see
// to: what a person did, then that nobody is there, then what passes by itself.
const (
	ReasonPaused      = "paused"
	ReasonUndeclared  = "undeclared"  // its owner's file has the queue no more
	ReasonDamaged     = "damaged"     // the queue's rates cannot be read
	ReasonNoWorker    = "no_worker"   // no live worker serves the queue
	ReasonPluginDown  = "plugin_down" // on all that do
	ReasonNoLimit     = "no_limit"    // its queue names one that is not there
	ReasonNever       = "never"       // it costs more than a limit can hold
	ReasonFrozen      = "frozen"      // an upstream said slow down
	ReasonConcurrency = "concurrency" // all places of the queue or of a limit are taken
	ReasonKey         = "key"         // its key has no token, or no place
	ReasonRate        = "rate"        // the queue has no token for it
	ReasonLimit       = "limit"       // a named limit has none
	ReasonNoSlots     = "no_slots"    // all slots of the handler are taken
	ReasonBehind      = "behind"      // others are before it
	ReasonReady       = "ready"       // nothing holds it up

	ReasonScheduled  = "scheduled"   // not before an instant
	ReasonReserved   = "reserved"    // a worker holds it for an instant that is about to come
	ReasonRunning    = "running"     // under a lease that stands
	ReasonWorkerLost = "worker_lost" // under one that has ended; it is being taken back

	// of one that has ended: its state, "done", "dead", "cancelled" or "expired"
)

// Explanation says why a task does not run, or what became of it.
type Explanation struct {
	Task    Task
	Queue   Queue    // its queue, a moment later
	Workers []Worker // all that are known; not read for a task that has ended
	Reason  string
	Binding *Binding // the limit that the reason is about; nil where it is about none
	NoLimit string   // the name of the limit that is not there
	// Earliest is the instant before which the task does not start, as far as that is known.
	// Latest is the one by which it does when what RestsOn says holds. Both are zero where
	// no instant is known.
	Earliest, Latest time.Time
	RestsOn          []string
	At               time.Time // engine time of the task's snapshot
}

// Explain says of one task why it does not run, or what became of it. It reads the task,
// its queue, the limits that this names and the workers, and of a task that nothing else
// holds up what some workers hold; each at an instant of its own. One that is not known, or
// not any more, is a *NotFoundError.
func (c *Client) Explain(ctx context.Context, id string) (Explanation, error) {
	t, err := c.Task(ctx, id)
	if err != nil {
		return Explanation{}, err
	}
	e := Explanation{Task: t, At: time.UnixMicro(t.now).UTC()}
	if e.Queue, err = c.Queue(ctx, t.Queue); err != nil {
		var gone *NotFoundError
		if errors.As(err, &gone) {
			return Explanation{}, c.unknownTask(id)
		}
		return Explanation{}, err
	}
	if slices.Contains([]string{"waiting", "scheduled", "running"}, t.State) {
		if e.Workers, err = c.Workers(ctx); err != nil {
			return Explanation{}, err
		}
	}
	e.decide()
	if e.Reason == ReasonReady || e.Reason == ReasonBehind && e.Binding == nil {
		full, err := c.slotsTaken(ctx, e.Serving(), e.Queue.Handler)
		if err != nil {
			return Explanation{}, err
		}
		if full {
			e.Reason, e.Earliest = ReasonNoSlots, time.Time{}
		}
	}
	return e, c.foresee(ctx, &e)
}

// decide finds the reason, but for taken slots.
func (e *Explanation) decide() {
	t := &e.Task
	switch t.State {
	case "waiting":
		e.Reason = e.Unserved()
		if e.NoLimit = t.noLimit(e.Queue.Limits); e.Reason == "" && e.NoLimit != "" {
			e.Reason = ReasonNoLimit
		}
		if e.Reason == "" {
			e.Reason, e.Binding = t.heldUp()
			e.Earliest = t.EarliestStart
		}
		if b := e.Binding; b != nil && (b.Why == "concurrency" || b.Why == "turn") && !e.Earliest.After(e.At) {
			e.Earliest = time.Time{} // nobody knows when a place is free
		}
	case "scheduled":
		e.Reason, e.Earliest = ReasonScheduled, t.At.UTC()
		if t.At.After(e.At) {
			return
		}
		if e.Reason = e.Unserved(); e.Reason == "" { // it waits from the next look at its queue on
			e.Reason = ReasonReady
		}
		e.Earliest = time.Time{}
	case "running":
		e.Reason = ReasonRunning
		w, ok := e.Holder()
		switch {
		case !ok || !w.Live(e.At):
			e.Reason = ReasonWorkerLost
		case t.StartedAt.After(e.At):
			e.Reason = ReasonReserved
		}
	default:
		e.Reason = t.State
	}
}

// Unserved is the reason why nothing of the task's queue starts, whatever the task; "" where
// there is none. It may come on top of ReasonScheduled.
func (e *Explanation) Unserved() string {
	serving := e.Serving()
	switch {
	case e.Queue.Held != "":
		return e.Queue.Held
	case len(serving) == 0:
		return ReasonNoWorker
	case !slices.ContainsFunc(serving, func(w Worker) bool { _, down := w.DownReason(e.Queue.Handler); return !down }):
		return ReasonPluginDown
	}
	return ""
}

// Serving are the live workers that serve the task's queue.
func (e *Explanation) Serving() []Worker {
	return slices.DeleteFunc(Serving(e.Workers, e.Queue.Name, e.Queue.Pool, e.Queue.Handler), func(w Worker) bool { return !w.Live(e.At) })
}

// Holder is the worker that runs the task, or ran it last; false when it is not known any
// more.
func (e *Explanation) Holder() (Worker, bool) {
	i := slices.IndexFunc(e.Workers, func(w Worker) bool { return w.ID == e.Task.Worker })
	if i < 0 {
		return Worker{}, false
	}
	return e.Workers[i], true
}

// noLimit is the first of the limits that was not there; "" where all were.
func (t *Task) noLimit(limits []string) string {
	for _, name := range limits {
		if !slices.ContainsFunc(t.stands.list, func(l standing) bool { return l.name == name }) {
			return name
		}
	}
	return ""
}

// heldUp is what holds a waiting task up in a queue that is served.
func (t *Task) heldUp() (reason string, b *Binding) {
	b = t.Binding
	if b == nil {
		if t.Position != 0 {
			return ReasonBehind, nil
		}
		return ReasonReady, nil
	}
	ofItsKey := strings.HasPrefix(b.Limit, ofKey+" ")
	switch {
	case b.Why == "never":
		return ReasonNever, b
	case b.Why == "frozen":
		return ReasonFrozen, b
	case b.Why == "turn":
		return ReasonBehind, b
	case ofItsKey:
		return ReasonKey, b
	case b.Why == "concurrency":
		return ReasonConcurrency, b
	case b.Limit == ofQueue:
		return ReasonRate, b
	}
	return ReasonLimit, b
}

// mostLooks is the most workers of several handlers whose tasks are looked through for a
// free slot.
const mostLooks = 20

// slotsTaken tells whether all slots of a handler are taken on these workers; not, where
// that would be many looks. What a worker holds is bounded by its slots.
func (c *Client) slotsTaken(ctx context.Context, workers []Worker, handler string) (bool, error) {
	looks := 0
	for _, w := range workers {
		if _, down := w.DownReason(handler); down {
			continue
		}
		running := w.Running
		if len(w.Slots) > 1 && running >= w.Slots[handler] {
			if looks++; looks > mostLooks {
				return false, nil
			}
			var err error
			if running, err = c.runningOf(ctx, w.ID, handler); err != nil {
				return false, err
			}
		}
		if running < w.Slots[handler] {
			return false, nil
		}
	}
	return true, nil
}

// runningOf counts what a worker holds of one handler, as its queues have it now.
func (c *Client) runningOf(ctx context.Context, worker, handler string) (int, error) {
	runs, err := c.Runs(ctx, worker)
	if err != nil {
		return 0, err
	}
	byQueue := make(map[string]int)
	for _, r := range runs {
		byQueue[r.Queue]++
	}
	n := 0
	for names := range slices.Chunk(sortedKeys(byQueue), queuePage) {
		queues, err := c.show(ctx, names...)
		if err != nil {
			return 0, err
		}
		for i := range queues {
			if queues[i].Handler == handler {
				n += byQueue[queues[i].Name]
			}
		}
	}
	return n, nil
}

// foresee says by when a waiting task starts, where only tokens hold it up, and what that
// rests on.
func (c *Client) foresee(ctx context.Context, e *Explanation) error {
	t, q := &e.Task, &e.Queue
	if e.Earliest.IsZero() || t.State != "waiting" {
		return nil
	}
	say := func(format string, args ...any) { e.RestsOn = append(e.RestsOn, fmt.Sprintf(format, args...)) }
	turns, err := c.turnsAt(ctx, t, q.Limits, e.Binding)
	if err != nil {
		return err
	}
	least, most := t.Position, t.Position
	if least < 0 {
		least, most = maxPosition, max(maxPosition, q.Waiting-1)
		say("%d to %d tasks are before it", least, most)
	}
	capped := slices.ContainsFunc(t.stands.list, func(l standing) bool { return l.cap > 0 })
	latest := t.now
	for i := range t.stands.list {
		l := &t.stands.list[i]
		before := most
		if l.name != ofKey && q.Key != nil {
			before = max(before, q.Waiting-1) // of the other keys too
		}
		if n, ok := turns[l.name]; ok {
			before = (before+1)*n - 1
		}
		cost := costOf(l.name, t.Cost, t.Costs)
		latest = max(latest, l.earliest(t.now, before*cost, cost))
	}
	say("tokens come at the rates in force now")
	if most > 0 {
		say("the tasks before it cost what it costs")
	}
	if q.Key != nil && q.Waiting > most+1 {
		say("at the latest all %d other waiting tasks of the queue go before it", q.Waiting-1)
	}
	for _, name := range sortedKeys(turns) {
		if turns[name] > 1 {
			say("at the latest %d queues take turns at limit %q", turns[name], name)
		}
	}
	say("%s free then", map[bool]string{true: "a slot and a place are", false: "a slot is"}[capped])
	if latest < ratelimit.Never {
		e.Latest = time.UnixMicro(max(latest, e.Earliest.UnixMicro())).UTC()
	}
	return nil
}

// turnsAt are, for each limit that the task is under, how many queues wait there with its
// own. The task's own queue stands at one of them, which may be the one that binds.
func (c *Client) turnsAt(ctx context.Context, t *Task, limits []string, b *Binding) (map[string]int64, error) {
	turns := make(map[string]int64)
	if len(limits) == 0 {
		return turns, nil
	}
	list, err := c.peekLimits(ctx, limits...)
	if err != nil {
		return nil, err
	}
	for _, l := range list {
		if len(l.Rates) == 0 || costOf(l.Name, t.Cost, t.Costs) == 0 {
			continue
		}
		turns[l.Name] = l.Waiting + 1
		if b != nil && b.Limit == limitWords(l.Name, "") && l.Waiting > 0 {
			turns[l.Name] = l.Waiting
		}
	}
	return turns, nil
}
