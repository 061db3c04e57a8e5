package main

import (
	"cmp"
	"context"
	"math/bits"
	"slices"
	"time"

	"github.com/throttlerd/throttlerd/scheduler"
)

// snapshot is all that the monitor shows at one instant.
type snapshot struct {
	namespace string
	at        time.Time // engine time
	interval  time.Duration
	queues    []sampled // what needs attention first
	workers   []scheduler.Worker
	progress  []scheduler.Progress // the last told first
	health    scheduler.Health
	trouble   string // why this is not of now
}

// sampled is a queue with what follows from other queues, workers and the last sample.
type sampled struct {
	scheduler.Queue
	scheduler.Service
	reached float64 // starts a second since the last sample; -1 when it is not known
	full    bool    // all slots that could take its tasks are taken
}

// sampler takes snapshots; what is reached is counted from one to the next.
type sampler struct {
	interval time.Duration
	last     map[string]spent
}

type spent struct {
	starts int64
	at     time.Time
}

func (m *sampler) sample(ctx context.Context, c *scheduler.Client) (snapshot, error) {
	queues, err := c.Queues(ctx)
	if err != nil {
		return snapshot{}, err
	}
	workers, err := c.Workers(ctx)
	if err != nil {
		return snapshot{}, err
	}
	progress, err := c.RunProgress(ctx, workers)
	if err != nil {
		return snapshot{}, err
	}
	now, err := c.Now(ctx)
	if err != nil {
		return snapshot{}, err
	}
	s := newSnapshot(queues, workers, now)
	s.namespace, s.interval, s.progress = c.Namespace(), m.interval, progress
	sortProgress(s.progress)
	seen := make(map[string]spent, len(queues))
	for i := range s.queues {
		q := &s.queues[i]
		n := spent{q.Starts, q.At}
		if before, ok := m.last[q.Name]; ok && n.at.After(before.at) && n.starts >= before.starts {
			q.reached = float64(n.starts-before.starts) / n.at.Sub(before.at).Seconds()
		}
		seen[q.Name] = n
	}
	m.last = seen
	return s, nil
}

func newSnapshot(queues []scheduler.Queue, workers []scheduler.Worker, now time.Time) snapshot {
	s := snapshot{at: now, workers: workers, health: scheduler.HealthOf(queues, workers, now)}
	running := map[string]int64{} // by handler, and by pool:handler
	for i := range queues {
		q := &queues[i]
		running[q.Handler] += q.Running
		running[q.Pool+":"+q.Handler] += q.Running
	}
	slots := map[string]int64{}
	for _, w := range live(workers, now) {
		for h, n := range w.Slots {
			if slices.Contains(w.Down, h) {
				continue
			}
			slots[h] += int64(n)
			for _, p := range w.Pools {
				slots[p+":"+h] += int64(n)
			}
		}
	}
	full := func(key string) bool { return slots[key] > 0 && running[key] >= slots[key] }
	for _, q := range queues {
		s.queues = append(s.queues, sampled{
			Queue: q, Service: scheduler.ServiceOf(q, workers), reached: -1,
			full: full(q.Handler) || full(q.Pool+":"+q.Handler),
		})
	}
	// within a class by magnitude, not by number: rows that stay where they are can be read
	slices.SortStableFunc(s.queues, func(a, b sampled) int {
		return cmp.Or(cmp.Compare(a.class(), b.class()),
			cmp.Compare(bits.Len64(uint64(b.Waiting)), bits.Len64(uint64(a.Waiting))), cmp.Compare(a.Name, b.Name))
	})
	return s
}

// class orders queues by how much they need a look.
func (q *sampled) class() int {
	switch {
	case q.unserved():
		return 0
	case q.Waiting > 0 && (q.Held != "" || !q.FrozenUntil.IsZero() || q.starved() || q.stuck()):
		return 1
	case q.Waiting > 0 || q.Running > 0:
		return 2
	case q.Dead > 0 || q.Held != "" || q.Scheduled > 0:
		return 3
	}
	return 4
}

// unserved tells that tasks wait which no worker would take, whatever the tokens.
func (q *sampled) unserved() bool {
	return q.Held == "" && q.Waiting > 0 && q.Workers == q.Down
}

// starved tells that tasks wait and tokens are there, but no slot.
func (q *sampled) starved() bool {
	return q.full && q.Waiting > 0 && q.Held == "" && q.FrozenUntil.IsZero() && !q.unserved() && q.BlockedBy == ""
}

// stuck tells that its next task waits for what takes long or never comes: the end of a
// freeze, or a capacity above its cost.
func (q *sampled) stuck() bool {
	return q.Binding != nil && (q.Binding.Why == "frozen" || q.Binding.Why == "never")
}

// blocks is blockedBy in a few letters.
func (q *sampled) blocks() string {
	switch {
	case q.Held != "":
		return q.Held
	case q.Workers == 0:
		return "no worker"
	case q.Workers == q.Down:
		return "plugin down"
	case !q.FrozenUntil.IsZero():
		return "frozen " + span(q.FrozenUntil.Sub(q.At).Round(time.Second))
	case q.BlockedBy == "rate":
		return "rate " + tenths(q.NextToken.Sub(q.At))
	case q.starved():
		return "slots full"
	case q.BlockedBy != "" && q.Binding != nil:
		return bindingBrief(q.Binding, q.At)
	}
	return q.BlockedBy
}

// tenths is a wait to a tenth of a second, that of a fast rate to a millisecond.
func tenths(d time.Duration) string {
	if d < 100*time.Millisecond {
		return span(d.Round(time.Millisecond))
	}
	return span(d.Round(100 * time.Millisecond))
}

// totals are the sums over all queues.
type totals struct {
	Queues    int   `json:"queues"`
	Workers   int   `json:"workers"` // live ones
	Waiting   int64 `json:"waiting"`
	Scheduled int64 `json:"scheduled"`
	Running   int64 `json:"running"`
	Dead      int64 `json:"dead"`
	Completed int64 `json:"completed_total"`
	Failed    int64 `json:"failed_total"`

	StartsPerSecond *float64 `json:"starts_per_second"` // null in the first sample
}

func (s *snapshot) totals() totals {
	t := totals{Queues: len(s.queues), Workers: s.health.Workers}
	var reached float64
	known := false
	for i := range s.queues {
		q := &s.queues[i]
		t.Waiting += q.Waiting
		t.Scheduled += q.Scheduled
		t.Running += q.Running
		t.Dead += q.Dead
		t.Completed += q.Completed
		t.Failed += q.Failed
		if q.reached >= 0 {
			reached, known = reached+q.reached, true
		}
	}
	if known {
		t.StartsPerSecond = &reached
	}
	return t
}
