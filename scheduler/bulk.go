package scheduler

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/redis/go-redis/v9"
)

// SubmitCall is the most tasks that one SubmitPart takes in, all or none of them, with about
// SubmitCallBytes of payloads.
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

// SubmitPart takes in a part of a bulk, which the caller names in letters and digits: all of its
// tasks or none, at most SubmitCall. That n tasks of the bulk are in then is noted in the same
// act: whatever becomes of the reply, Progress tells whether they are.
func (c *Client) SubmitPart(ctx context.Context, queue string, tasks []SubmitRequest, bulk string, n int64) (Receipts, error) {
	if len(tasks) == 0 {
		return nil, c.SetProgress(ctx, bulk, n)
	}
	if err := c.checkTasks(queue, tasks); err != nil {
		return nil, err
	}
	if len(tasks) > SubmitCall || len(firstChunk(tasks)) < len(tasks) || !bulkName.MatchString(bulk) {
		return nil, &InvalidError{What: "part of a bulk", Reason: fmt.Sprintf("must have at most %d tasks and %d bytes, and its bulk a name of letters and digits", SubmitCall, SubmitCallBytes)}
	}
	args := submitArgs(queue, tasks)
	args[0] = fmt.Sprintf("@%s %d %d %s", bulk, n, int64(progressKept.Seconds()), args[0])
	reply, err := c.submitCall(ctx, queue, tasks, args)
	if err != nil {
		return nil, err
	}
	receipts := make(Receipts, len(tasks))
	readReceipts(queue, tasks, reply, receipts)
	return receipts, nil
}

var bulkName = regexp.MustCompile(`^[a-zA-Z0-9]+$`)

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
