package scheduler

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Run is a task that a worker holds under its lease.
type Run struct {
	Task  string // an id by which Client.Task finds it
	Queue string
	Fence int64
	Start time.Time // engine time; while it lies ahead, the task is reserved
}

// Runs returns what a worker holds, the earliest start first; nothing for a worker that
// is not known.
func (c *Client) Runs(ctx context.Context, worker string) ([]Run, error) {
	run, err := c.rdb.HGetAll(ctx, c.keys.run(worker)).Result()
	if err != nil {
		return nil, fmt.Errorf("tasks of worker %q: %w", worker, redisError(err))
	}
	out := make([]Run, 0, len(run))
	for _, id := range sortedKeys(run) {
		f := strings.Fields(run[id]) // fence, start, turn, claim, queue, then what it was charged
		if len(f) < 5 {
			continue // written by a later version
		}
		out = append(out, Run{Task: id, Queue: f[4], Fence: number(f[0]), Start: time.UnixMicro(number(f[1])).UTC()})
	}
	slices.SortStableFunc(out, func(a, b Run) int { return a.Start.Compare(b.Start) })
	return out, nil
}
