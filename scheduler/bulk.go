package scheduler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// SubmitCall is the most tasks that one call takes in, all or none of them; SubmitMany
// splits what is more, or about more than SubmitCallBytes of payloads.
const (
	SubmitCall      = submitChunk
	SubmitCallBytes = submitBytes
)

// Validate finds what a submit would refuse of the task itself, before Redis is asked:
// an *InvalidError. maxPayload is in bytes; 0 is DefaultMaxPayload.
func (r *SubmitRequest) Validate(maxPayload int) error {
	if maxPayload <= 0 {
		maxPayload = DefaultMaxPayload
	}
	return r.validate(min(maxPayload, HardMaxPayload))
}

// Taken tells which own ids are taken, in their order. An id is taken while its task is
// known: an ended one as long as its queue's history keeps it.
func (c *Client) Taken(ctx context.Context, ids []string) ([]bool, error) {
	out := make([]bool, len(ids))
	for from := 0; from < len(ids); from += 1000 {
		part := ids[from:min(from+1000, len(ids))]
		found, err := c.rdb.HMGet(ctx, c.keys.ids(), part...).Result()
		if err != nil {
			return nil, fmt.Errorf("look up %d task ids: %w", len(ids), redisError(err))
		}
		for i, v := range found {
			out[from+i] = v != nil
		}
	}
	return out, nil
}

// progressKept is how long it is known how far a bulk submit came.
const progressKept = 30 * 24 * time.Hour

// SetProgress notes how many tasks of a bulk, which the caller names, are in. It is
// kept for 30 days: longer than a history may keep the tasks' ids.
func (c *Client) SetProgress(ctx context.Context, bulk string, n int64) error {
	if err := c.rdb.Set(ctx, c.keys.bulk(bulk), n, progressKept).Err(); err != nil {
		return fmt.Errorf("note the progress of bulk %q: %w", bulk, redisError(err))
	}
	return nil
}

// Progress is what SetProgress noted last; 0 when nothing is known.
func (c *Client) Progress(ctx context.Context, bulk string) (int64, error) {
	n, err := c.rdb.Get(ctx, c.keys.bulk(bulk)).Int64()
	if errors.Is(err, redis.Nil) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("progress of bulk %q: %w", bulk, redisError(err))
	}
	return n, nil
}
