package scheduler

import (
	"context"
	"fmt"

	"github.com/throttlerd/throttlerd/ratelimit"
)

// Admission is what the limits of a queue take in, as they were when it was read. It is
// for who wants to know of many tasks before the first is submitted; Submit looks itself.
type Admission struct {
	queue Queue
	most  map[string]int64 // of a named limit: the most that one task may cost; 0 for any
}

// Admission reads a queue and the limits that it names; an unknown queue is a
// *NotFoundError.
func (c *Client) Admission(ctx context.Context, queue string) (*Admission, error) {
	q, err := c.Queue(ctx, queue)
	if err != nil {
		return nil, err
	}
	a := &Admission{queue: q, most: make(map[string]int64)}
	if len(q.Limits) == 0 {
		return a, nil
	}
	limits, err := c.peekLimits(ctx, q.Limits...)
	for _, l := range limits {
		a.most[l.Name] = mostCost(l.Rates, l.Override)
	}
	return a, err
}

// mostCost is what the rates hold, or those that come back after them; 0 is no bound.
func mostCost(rates ratelimit.Rates, o *Override) int64 {
	most := rates.Capacity()
	if o == nil || most == 0 {
		return most
	}
	if base := o.Base.Capacity(); base == 0 || base > most {
		return base
	}
	return most
}

// Check finds what a submit to the queue would refuse of the task for its limits: an
// *InvalidError.
func (a *Admission) Check(r *SubmitRequest) error {
	q := &a.queue
	if q.Key != nil && r.Key == "" {
		return keyMissing(q.Name)
	}
	under := map[string]int64{ofQueue: mostCost(q.Rates, q.Override)}
	for _, name := range q.Limits {
		under[name] = a.most[name]
	}
	if q.Key != nil {
		under[ofKey] = q.Key.Rates.Capacity()
		if rule := q.Exceptions[r.Key]; rule.Rates != nil {
			under[ofKey] = rule.Rates.Capacity()
		}
	}
	for _, name := range sortedKeys(r.Costs) {
		if _, ok := under[name]; !ok {
			return costUnknown(q.Name, name)
		}
	}
	for _, name := range sortedKeys(under) {
		if c, most := costOf(name, r.Cost, r.Costs), under[name]; most > 0 && c > most {
			return costAbove(q.Name, limitWords(name, r.Key), c, most)
		}
	}
	return nil
}

func keyMissing(queue string) error {
	return &InvalidError{What: "key", Payload: true, Reason: fmt.Sprintf("is missing: queue %q is limited by key; name the tenant, host or account that the task is for", queue)}
}

func costAbove(queue, limit string, c, burst int64) error {
	if limit == ofQueue {
		limit = fmt.Sprintf("queue %q", queue)
	}
	return &InvalidError{What: "cost", Payload: true, Reason: fmt.Sprintf("%d is more than %s can ever hold: at most %d; split the task, or raise the burst", c, limit, burst)}
}

func costUnknown(queue, name string) error {
	return &InvalidError{What: "cost", Payload: true, Reason: fmt.Sprintf("names %q, but queue %q is not under a limit of that name", name, queue)}
}
