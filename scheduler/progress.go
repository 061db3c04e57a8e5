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

// TellProgress makes list all that is known of the progress of this worker's runs. It
// holds for a minute. Nothing but what people see depends on it.
func (s *Session) TellProgress(ctx context.Context, list []Progress) error {
	key := s.c.keys.progress(s.w.ID)
	_, err := s.c.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.Del(ctx, key)
		for _, one := range list {
			text, err := json.Marshal(one)
			if err != nil {
				return err
			}
			p.HSet(ctx, key, one.Fence, text)
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
