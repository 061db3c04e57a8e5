package scheduler

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/throttlerd/throttlerd/internal/once"
)

// Declaration is the queues and limits that one owner's file declares.
type Declaration struct {
	Owner  string
	Queues map[string]QueueSpec
	Limits map[string]LimitSpec
}

// Apply brings the declared queues and limits to what the file says: new ones are
// created, existing ones changed but for what was overridden by hand; queues of this owner
// that are in the file no more are held and kept, limits are kept. All of that happens at
// one instant, or none of it: after an *UnreachableError it may be repeated. What another
// owner declares is an *OwnedError, found before anything is changed. What is as declared
// is only read; Redis serves nobody else for about 70 µs a queue that changes.
func (c *Client) Apply(ctx context.Context, d Declaration) error {
	for try := 1; ; try++ {
		limits, err := c.limitCalls(ctx, d)
		if err != nil {
			return err
		}
		queues, err := c.queueCalls(ctx, d)
		if err != nil {
			return err
		}
		if err = c.defineAll(ctx, limits, queues); !errors.Is(err, errUncounted) || try == countTries {
			return err
		}
	}
}

// limitCalls are those of setLimitScript that make the limits of a declaration.
func (c *Client) limitCalls(ctx context.Context, d Declaration) ([][]any, error) {
	names := sortedKeys(d.Limits)
	checks := make([][]any, len(names))
	for i, name := range names {
		if err := CheckLimit(name); err != nil {
			return nil, err
		}
		if err := d.Limits[name].validate(); err != nil {
			return nil, fmt.Errorf("limit %q: %w", name, err)
		}
		checks[i] = append([]any{"check", name, d.Owner, "", "", 0}, d.Limits[name].fields()...)
	}
	replies, err := setLimitScript.runEach(ctx, c.rdb, c.keys, checks)
	if err != nil {
		return nil, fmt.Errorf("check %d limits: %w", len(names), err)
	}
	var calls [][]any
	for i, reply := range replies {
		switch reply[0].(int64) {
		case -1:
			return nil, &OwnedError{Limit: names[i], Owner: reply[1].(string), Other: d.Owner}
		case 2:
			checks[i][0] = "apply"
			calls = append(calls, checks[i])
		}
	}
	owned, err := c.rdb.SMembers(ctx, c.keys.limitsOf(d.Owner)).Result()
	if err != nil {
		return nil, fmt.Errorf("limits of owner %q: %w", d.Owner, redisError(err))
	}
	for _, name := range owned {
		if _, ok := d.Limits[name]; !ok {
			calls = append(calls, []any{"undeclare", name, d.Owner, "", "", 0})
		}
	}
	return calls, nil
}

// queueCalls are those of defineScript that make the queues of a declaration.
func (c *Client) queueCalls(ctx context.Context, d Declaration) ([][]any, error) {
	names := sortedKeys(d.Queues)
	checks := make([][]any, len(names))
	for i, name := range names {
		if err := CheckName("queue", name); err != nil {
			return nil, err
		}
		if err := d.Queues[name].Validate(); err != nil {
			return nil, fmt.Errorf("queue %q: %w", name, err)
		}
		if err := c.limitsThere(ctx, d.Queues[name].Limits, d.Limits); err != nil {
			return nil, fmt.Errorf("queue %q: %w", name, err)
		}
		checks[i] = append([]any{"check", name, d.Owner, "", "", 0}, d.Queues[name].fields()...)
	}
	replies, err := defineScript.runEach(ctx, c.rdb, c.keys, checks)
	if err != nil {
		return nil, fmt.Errorf("check %d queues: %w", len(names), err)
	}
	var calls [][]any
	var uncounted []string
	for i, reply := range replies {
		switch reply[0].(int64) {
		case -1:
			return nil, &OwnedError{Queue: names[i], Owner: reply[1].(string), Other: d.Owner}
		case -4:
			uncounted = append(uncounted, names[i])
			fallthrough
		case 1:
			checks[i][0] = "apply"
			calls = append(calls, checks[i])
		default:
			if err := c.refusedDefine(ctx, names[i], reply); err != nil {
				return nil, err
			}
		}
	}
	for _, name := range uncounted {
		if err := c.countPlaces(ctx, name); err != nil {
			return nil, err
		}
	}
	owned, err := c.rdb.SMembers(ctx, c.keys.owned(d.Owner)).Result()
	if err != nil {
		return nil, fmt.Errorf("queues of owner %q: %w", d.Owner, redisError(err))
	}
	for _, name := range owned {
		if _, ok := d.Queues[name]; !ok {
			calls = append(calls, []any{"undeclare", name, d.Owner, "", "", 0})
		}
	}
	return calls, nil
}

// limitsThere refuses a limit that neither the declaration has nor Redis.
func (c *Client) limitsThere(ctx context.Context, names []string, declared map[string]LimitSpec) error {
	for _, name := range names {
		if _, ok := declared[name]; ok {
			continue
		}
		if _, err := c.Limit(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// defineAll makes its calls at one instant, all or none: a connection that breaks before
// the last leaves nothing done. The first of each script carries its text, so that the
// others find it known.
func (c *Client) defineAll(ctx context.Context, limits, queues [][]any) error {
	if len(limits)+len(queues) == 0 {
		return nil
	}
	tx := c.rdb.TxPipeline()
	var replies []*redis.Cmd
	for i, args := range limits {
		replies = append(replies, once.Do(ctx, tx, firstBySource(setLimitScript, c.keys, args, i)...))
	}
	for i, args := range queues {
		replies = append(replies, once.Do(ctx, tx, firstBySource(defineScript, c.keys, args, i)...))
	}
	if _, err := tx.Exec(ctx); err != nil {
		return fmt.Errorf("apply %d limits and %d queues: %w", len(limits), len(queues), redisError(err))
	}
	for i, r := range replies {
		// what became impossible since it was checked: the rest stands
		v, err := r.Slice()
		if err != nil || len(v) < 2 {
			continue
		}
		if i >= len(limits) {
			name := queues[i-len(limits)][1].(string)
			if err := c.refusedDefine(ctx, name, v); err != nil {
				return fmt.Errorf("queue %q: %w", name, err)
			}
		}
		if v[0] != int64(-1) {
			continue
		}
		e := &OwnedError{Owner: fmt.Sprint(v[1])}
		if i < len(limits) {
			e.Limit, e.Other = limits[i][1].(string), limits[i][2].(string)
		} else {
			e.Queue, e.Other = queues[i-len(limits)][1].(string), queues[i-len(limits)][2].(string)
		}
		return e
	}
	return nil
}

func firstBySource(s *script, k keys, args []any, i int) []any {
	cmd := s.evalsha(k, args)
	if i == 0 {
		cmd[0], cmd[1] = "eval", s.src
	}
	return cmd
}
