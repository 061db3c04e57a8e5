package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// progressTTL is how long what a worker told is kept; it tells anew before that.
const progressTTL = time.Minute

// Progress is how far a running task is, as its handler told.
type Progress struct {
	Task    string    `json:"task"`
	Queue   string    `json:"queue"`
	Percent int       `json:"percent"` // 0 to 100
	Note    string    `json:"note"`
	At      time.Time `json:"at"` // when it was told, by the worker's clock

	Fence int64 `json:"-"` // of the run
}

// TellProgress tells how far runs are, and which are over. What is told is kept for a
// minute after the last call. Nothing but what people see depends on it.
func (s *Session) TellProgress(ctx context.Context, changed []Progress, over []int64) error {
	key := s.c.keys.progress(s.w.ID)
	_, err := s.c.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		if len(changed) > 0 {
			fields := make([]any, 0, 2*len(changed))
			for _, one := range changed {
				text, err := json.Marshal(one)
				if err != nil {
					return err
				}
				fields = append(fields, one.Fence, text)
			}
			p.HSet(ctx, key, fields...)
		}
		if len(over) > 0 {
			fences := make([]string, len(over))
			for i, fence := range over {
				fences[i] = strconv.FormatInt(fence, 10)
			}
			p.HDel(ctx, key, fences...)
		}
		p.PExpire(ctx, key, progressTTL)
		return nil
	})
	if err != nil {
		return fmt.Errorf("tell the progress of worker %q: %w", s.w.ID, redisError(err))
	}
	return nil
}

// RunProgress returns what is known of the runs of these workers, in no order.
func (c *Client) RunProgress(ctx context.Context, workers []Worker) ([]Progress, error) {
	if len(workers) == 0 {
		return nil, nil
	}
	replies, err := c.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, w := range workers {
			p.HGetAll(ctx, c.keys.progress(w.ID))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the progress of tasks: %w", redisError(err))
	}
	var out []Progress
	for _, reply := range replies {
		for fence, text := range reply.(*redis.MapStringStringCmd).Val() {
			if p, ok := readProgress(fence, text); ok {
				out = append(out, p)
			}
		}
	}
	return out, nil
}

// progressOf is that of one run; nil if it has told none.
func (c *Client) progressOf(ctx context.Context, worker string, fence int64) (*Progress, error) {
	field := strconv.FormatInt(fence, 10)
	text, err := c.rdb.HGet(ctx, c.keys.progress(worker), field).Result()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the progress of a task: %w", redisError(err))
	}
	p, ok := readProgress(field, text)
	if !ok {
		return nil, nil
	}
	return &p, nil
}

// readProgress is false for what a later version wrote.
func readProgress(fence, text string) (Progress, bool) {
	var p Progress
	if json.Unmarshal([]byte(text), &p) != nil {
		return p, false
	}
	p.Fence = number(fence)
	return p, true
}
