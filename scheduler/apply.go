package scheduler

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// Declaration is the queues that one owner's file declares.
type Declaration struct {
	Owner  string
	Queues map[string]QueueSpec
	Limits map[string]LimitSpec
}

// Apply brings the declared queues to what the file says: new ones are created,
// existing ones changed but for what was overridden by hand, and queues of this owner
// that are in the file no more are held and kept. All of that happens at one instant,
// or none of it: after an *UnreachableError it may be repeated. A queue that another
// owner declares is an *OwnedError, found before anything is changed. What is as
// declared is only read; Redis serves nobody else for about 70 µs a queue that changes.
func (c *Client) Apply(ctx context.Context, d Declaration) error {
	names := sortedKeys(d.Queues)
	checks := make([][]any, len(names))
	for i, name := range names {
		if err := CheckName("queue", name); err != nil {
			return err
		}
		if err := d.Queues[name].Validate(); err != nil {
			return fmt.Errorf("queue %q: %w", name, err)
		}
		checks[i] = append([]any{"check", name, d.Owner}, d.Queues[name].fields()...)
	}
	replies, err := defineScript.runEach(ctx, c.rdb, c.keys, checks)
	if err != nil {
		return fmt.Errorf("check %d queues: %w", len(names), err)
	}
	var calls [][]any
	for i, reply := range replies {
		switch reply[0].(int64) {
		case -1:
			return &OwnedError{Queue: names[i], Owner: reply[1].(string), Other: d.Owner}
		case 1:
			checks[i][0] = "apply"
			calls = append(calls, checks[i])
		}
	}
	owned, err := c.rdb.SMembers(ctx, c.keys.owned(d.Owner)).Result()
	if err != nil {
		return fmt.Errorf("queues of owner %q: %w", d.Owner, redisError(err))
	}
	for _, name := range owned {
		if _, ok := d.Queues[name]; !ok {
			calls = append(calls, []any{"undeclare", name, d.Owner})
		}
	}
	return c.defineAll(ctx, calls)
}

// defineAll makes its calls at one instant, all or none: a connection that breaks before
// the last leaves nothing done. The first carries the script's text, so that the others
// find it known.
func (c *Client) defineAll(ctx context.Context, calls [][]any) error {
	if len(calls) == 0 {
		return nil
	}
	tx := c.rdb.TxPipeline()
	replies := make([]*redis.Cmd, len(calls))
	for i, args := range calls {
		cmd := defineScript.evalsha(c.keys, args)
		if i == 0 {
			cmd[0], cmd[1] = "eval", defineScript.src
		}
		replies[i] = tx.Do(ctx, cmd...)
	}
	if _, err := tx.Exec(ctx); err != nil {
		return fmt.Errorf("apply %d queues: %w", len(calls), redisError(err))
	}
	for i, r := range replies {
		// another owner declared it since it was checked: the rest stands
		if v, err := r.Slice(); err == nil && len(v) == 2 && v[0] == int64(-1) {
			return &OwnedError{Queue: calls[i][1].(string), Owner: fmt.Sprint(v[1]), Other: calls[i][2].(string)}
		}
	}
	return nil
}
