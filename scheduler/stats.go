package scheduler

import (
	"context"
	"fmt"
	"time"
)

// QueueStats counts a queue's tasks, all at one instant.
type QueueStats struct {
	Waiting, Scheduled, Running, Dead int64
	Completed                         int64 // tasks done so far
	Failed                            int64 // runs that failed so far
}

// QueueStats returns the counts of one queue; an unknown name is a *NotFoundError.
func (c *Client) QueueStats(ctx context.Context, name string) (QueueStats, error) {
	q, err := c.Queue(ctx, name)
	return QueueStats{
		Waiting: q.Waiting, Scheduled: q.Scheduled, Running: q.Running, Dead: q.Dead,
		Completed: q.Completed, Failed: q.Failed,
	}, err
}

// RateStatus is a queue's bucket at one instant.
type RateStatus struct {
	Limited         bool    // without a rate the rest is zero
	Tokens          float64 // with the fraction of the one that is coming
	Capacity        int64
	RefillPerSecond float64
	NextTokenAt     time.Time // when the next whole token is there; now when it is full
	NextTokenIn     time.Duration
	FrozenUntil     time.Time // zero unless an upstream's slow-down is in force
}

// RateStatus returns the bucket of one queue; an unknown name is a *NotFoundError.
func (c *Client) RateStatus(ctx context.Context, name string) (RateStatus, error) {
	q, err := c.Queue(ctx, name)
	if err != nil || len(q.Rates) == 0 {
		return RateStatus{FrozenUntil: q.FrozenUntil}, err
	}
	return RateStatus{
		Limited: true, Tokens: q.Tokens, Capacity: q.Capacity,
		RefillPerSecond: float64(q.Rates[0].N) / q.Rates[0].Period.Seconds(),
		NextTokenAt:     q.NextToken, NextTokenIn: q.NextToken.Sub(q.At), FrozenUntil: q.FrozenUntil,
	}, nil
}

// Service says who serves a queue.
type Service struct {
	Workers int // live ones that serve its pool and handler
	Slots   int // of its handler, over those
	Down    int // of the workers: where the handler's plugin is down
}

// WorkerSummary tells for each queue how many live workers serve it.
func (c *Client) WorkerSummary(ctx context.Context) (map[string]Service, error) {
	queues, workers, err := c.fleet(ctx)
	if err != nil {
		return nil, err
	}
	out := make(map[string]Service, len(queues))
	for i := range queues {
		out[queues[i].Name] = service(&queues[i], workers)
	}
	return out, nil
}

func (c *Client) fleet(ctx context.Context) ([]Queue, []Worker, error) {
	queues, err := c.Queues(ctx)
	if err != nil {
		return nil, nil, err
	}
	workers, err := c.Workers(ctx)
	return queues, workers, err
}

// ServiceOf is WorkerSummary for one queue, of workers that were read before.
func ServiceOf(q Queue, workers []Worker) Service { return service(&q, workers) }

func service(q *Queue, workers []Worker) Service {
	var s Service
	for _, w := range Serving(workers, q.Name, q.Pool, q.Handler) {
		if !w.Live(q.At) {
			continue
		}
		s.Workers++
		s.Slots += w.Slots[q.Handler]
		for _, d := range w.Down {
			if d == q.Handler {
				s.Down++
			}
		}
	}
	return s
}

// The words of Health.
const (
	Healthy   = "healthy"
	Degraded  = "degraded"  // something is wrong, work goes on
	Unhealthy = "unhealthy" // work waits that nobody does
)

// Health is how the namespace is doing, in one word with its reasons.
type Health struct {
	Status  string
	Reasons []string
	Workers int // live ones
}

// Health looks at workers and queues: work that no live worker serves is unhealthy;
// a worker whose lease has run out, a plugin that is down and dead tasks degrade.
func (c *Client) Health(ctx context.Context) (Health, error) {
	queues, workers, err := c.fleet(ctx)
	if err != nil {
		return Health{}, err
	}
	now, err := c.Now(ctx)
	if err != nil {
		return Health{}, err
	}
	return health(queues, workers, now), nil
}

// HealthOf is Health of queues and workers that were read before, at now by engine time.
func HealthOf(queues []Queue, workers []Worker, now time.Time) Health {
	return health(queues, workers, now)
}

func health(queues []Queue, workers []Worker, now time.Time) Health {
	h := Health{Status: Healthy}
	say := func(status, format string, args ...any) {
		if h.Status != Unhealthy {
			h.Status = status
		}
		h.Reasons = append(h.Reasons, fmt.Sprintf(format, args...))
	}
	for _, w := range workers {
		if !w.Live(now) {
			say(Degraded, "worker %s has not renewed its lease for %s", w.ID, now.Sub(w.Beat).Round(time.Second))
			continue
		}
		h.Workers++
		for _, d := range w.Down {
			why := ""
			if s, ok := w.State(d); ok && s.LastError != "" {
				why = ": " + s.LastError
			}
			say(Degraded, "handler %q is down on worker %s%s", d, w.ID, why)
		}
	}
	var dead int64
	for i := range queues {
		q := &queues[i]
		dead += q.Dead
		s := service(q, workers)
		if q.Held == "damaged" && q.Waiting > 0 {
			say(Unhealthy, "the rate of queue %q cannot be read, so none of its %d waiting starts", q.Name, q.Waiting)
		}
		if q.Held == "" && q.Waiting > 0 && s.Workers == s.Down {
			say(Unhealthy, "queue %q has %d waiting, but no live worker serves handler %q in pool %q", q.Name, q.Waiting, q.Handler, q.Pool)
		}
	}
	if dead > 0 {
		say(Degraded, "%d dead %s", dead, map[bool]string{true: "task", false: "tasks"}[dead == 1])
	}
	return h
}
