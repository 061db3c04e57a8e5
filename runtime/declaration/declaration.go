// Package declaration says in the scheduler's terms what a configuration declares. It knows
// no Redis and no plugins, so that throttlectl may use it too.
package declaration

import (
	"github.com/throttlerd/throttlerd/runtime/config"
	"github.com/throttlerd/throttlerd/scheduler"
)

// Of is what the files declare.
func Of(c *config.Config) scheduler.Declaration {
	d := scheduler.Declaration{
		Owner:  c.Owner,
		Queues: make(map[string]scheduler.QueueSpec),
		Limits: make(map[string]scheduler.LimitSpec),
	}
	for _, l := range c.Limits {
		d.Limits[l.Name] = scheduler.LimitSpec(l.LimitSpec)
	}
	for _, q := range c.Queues {
		d.Queues[q.Name] = queueSpec(q)
	}
	return d
}

func queueSpec(q config.Queue) scheduler.QueueSpec {
	spec := scheduler.QueueSpec{
		Handler: q.Handler, Pool: q.Pool, LimitSpec: scheduler.LimitSpec(q.LimitSpec), Limits: q.Limits,
		Timeout: q.Timeout, Retry: scheduler.Retry(q.Retry), History: q.History, Paused: q.Paused,
		MaxLength: q.MaxLength, ExpireAfter: q.ExpireAfter,
	}
	if q.Key == nil {
		return spec
	}
	key := scheduler.KeySpec(*q.Key)
	spec.Key = &key
	for k, x := range q.Exceptions {
		if spec.Exceptions == nil {
			spec.Exceptions = make(map[string]scheduler.KeyRule)
		}
		spec.Exceptions[k] = scheduler.KeyRule(x)
	}
	return spec
}
