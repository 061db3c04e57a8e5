package scheduler

import (
	"context"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"
)

// taskPage is how many tasks one round trip reads or changes.
const taskPage = 200

// EachDead calls f with the dead tasks of a queue, page by page, the oldest first, until
// it returns an error or all that were dead at the start have been seen. f may retry or
// delete the tasks it is given.
func (c *Client) EachDead(ctx context.Context, queue string, f func(page []Task) error) error {
	q, err := c.Queue(ctx, queue)
	if err != nil {
		return err
	}
	from := "-inf"
	until := fmt.Sprint(q.At.UnixMicro())
	seen := make(map[string]bool) // of the last instant, where pages may overlap
	for {
		page, err := c.rdb.ZRangeByScoreWithScores(ctx, c.keys.dead(queue), &redis.ZRangeBy{Min: from, Max: until, Count: taskPage + int64(len(seen))}).Result()
		if err != nil {
			return fmt.Errorf("dead tasks of queue %q: %w", queue, redisError(err))
		}
		var fresh []string
		for _, z := range page {
			id := z.Member.(string)
			if seen[id] {
				continue
			}
			fresh = append(fresh, id)
			at := fmt.Sprint(int64(z.Score))
			if at != from {
				from = at
				clear(seen)
			}
			seen[id] = true
		}
		if len(fresh) == 0 {
			return nil
		}
		tasks, err := c.inspectAll(ctx, queue, fresh)
		if err != nil {
			return err
		}
		tasks = slices.DeleteFunc(tasks, func(t Task) bool { return t.State != "dead" })
		if err := f(tasks); err != nil {
			return err
		}
	}
}

// RetryDead lets dead tasks wait for their turn again, with all their attempts, and
// returns how many. The tasks are those that this client has returned; one that is not
// dead any more is left as it is. With an error, the count is of those known to wait.
func (c *Client) RetryDead(ctx context.Context, tasks []Task) (int, error) {
	calls := make([][]any, len(tasks))
	for i, t := range tasks {
		calls[i] = []any{t.Queue, t.internal}
	}
	replies, err := retryScript.runEach(ctx, c.rdb, c.keys, calls)
	n := 0
	for _, r := range replies {
		if r[0].(string) == "dead" {
			n++
		}
	}
	if err != nil {
		return n, fmt.Errorf("retry %d dead tasks: %w", len(tasks), err)
	}
	return n, nil
}

// DeleteDead forgets dead tasks and returns how many, on the terms of RetryDead.
func (c *Client) DeleteDead(ctx context.Context, tasks []Task) (int, error) {
	byQueue := make(map[string][]any)
	for _, t := range tasks {
		byQueue[t.Queue] = append(byQueue[t.Queue], t.internal)
	}
	n := 0
	for _, queue := range sortedKeys(byQueue) {
		for ids := range slices.Chunk(byQueue[queue], taskPage) {
			reply, err := c.run(ctx, dropScript, append([]any{queue}, ids...)...)
			if err != nil {
				return n, fmt.Errorf("delete %d dead tasks: %w", len(tasks), err)
			}
			n += int(reply[0].(int64))
		}
	}
	return n, nil
}
