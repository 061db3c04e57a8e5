package scheduler

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

const deadPage = 200

// EachDead calls f with the dead tasks of a queue, the oldest first, until it returns
// an error or all that were dead at the start have been seen. f may retry or delete
// the task it is given.
func (c *Client) EachDead(ctx context.Context, queue string, f func(Task) error) error {
	q, err := c.Queue(ctx, queue)
	if err != nil {
		return err
	}
	from := "-inf"
	until := fmt.Sprint(q.At.UnixMicro())
	seen := make(map[string]bool) // of the last instant, where pages may overlap
	for {
		page, err := c.rdb.ZRangeByScoreWithScores(ctx, c.keys.dead(queue), &redis.ZRangeBy{Min: from, Max: until, Count: deadPage + int64(len(seen))}).Result()
		if err != nil {
			return fmt.Errorf("dead tasks of queue %q: %w", queue, redisError(err))
		}
		fresh := 0
		for _, z := range page {
			id := z.Member.(string)
			if seen[id] {
				continue
			}
			fresh++
			at := fmt.Sprint(int64(z.Score))
			if at != from {
				from = at
				clear(seen)
			}
			seen[id] = true
			t, err := c.inspect(ctx, queue, id)
			if err != nil {
				return err
			}
			if t.State != "dead" {
				continue
			}
			if err := f(t); err != nil {
				return err
			}
		}
		if fresh == 0 {
			return nil
		}
	}
}

// DeleteDead forgets a dead task. A task in any other state is ErrConflict.
func (c *Client) DeleteDead(ctx context.Context, id string) error {
	queue, internal, err := c.locate(ctx, id)
	if err != nil {
		return err
	}
	reply, err := c.run(ctx, dropScript, queue, internal)
	if err != nil {
		return fmt.Errorf("delete task %q: %w", id, err)
	}
	if reply[0].(int64) == 1 {
		return nil
	}
	t, err := c.Task(ctx, id)
	if err != nil {
		return err
	}
	return fmt.Errorf("task %q is %s; only dead tasks can be deleted: %w", id, t.State, ErrConflict)
}
