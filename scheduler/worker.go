package scheduler

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Worker is one throttlerd as it announces itself.
type Worker struct {
	ID         string
	Host       string
	PID        int
	Pools      []string
	Slots      map[string]int // by handler
	Down       []string       // handlers whose plugin is down
	Running    int
	Lease      time.Duration
	Version    string
	ConfigHash string
	Started    time.Time
	Beat       time.Time // its last sign of life
	LeaseEnds  time.Time
}

// Handlers are the names of the handlers it serves, sorted.
func (w Worker) Handlers() []string { return sortedKeys(w.Slots) }

// Live tells whether its lease holds at now, by engine time (Client.Now, Queue.At).
func (w Worker) Live(now time.Time) bool { return w.LeaseEnds.After(now) }

// indexes are the due indexes it serves.
func (w Worker) indexes() []string {
	var out []string
	for _, p := range w.Pools {
		for _, h := range w.Handlers() {
			out = append(out, p+":"+h)
		}
	}
	return out
}

func (w Worker) fields() ([]any, error) {
	slots, err := json.Marshal(w.Slots)
	if err != nil {
		return nil, err
	}
	return []any{
		"host", w.Host, "pid", w.PID, "pools", strings.Join(w.Pools, " "), "slots", slots,
		"version", w.Version, "config_hash", w.ConfigHash, "started", w.Started.UnixMicro(),
		"indexes", strings.Join(w.indexes(), " "), "down", strings.Join(w.Down, " "),
	}, nil
}

// Workers returns the workers that hold a lease, or whose lease has ended but whose
// tasks have not all been taken back.
func (c *Client) Workers(ctx context.Context) ([]Worker, error) {
	list, err := c.rdb.ZRangeWithScores(ctx, c.keys.workers(), 0, -1).Result()
	if err != nil {
		return nil, fmt.Errorf("list workers: %w", redisError(err))
	}
	out := make([]Worker, 0, len(list))
	for _, z := range list {
		id := z.Member.(string)
		h, err := c.rdb.HGetAll(ctx, c.keys.worker(id)).Result()
		if err != nil {
			return nil, fmt.Errorf("worker %q: %w", id, redisError(err))
		}
		n, err := c.rdb.HLen(ctx, c.keys.run(id)).Result()
		if err != nil {
			return nil, fmt.Errorf("worker %q: %w", id, redisError(err))
		}
		w := Worker{
			ID: id, Host: h["host"], PID: int(number(h["pid"])), Pools: strings.Fields(h["pools"]),
			Down: strings.Fields(h["down"]), Running: int(n), Lease: time.Duration(number(h["lease"])) * time.Microsecond,
			Version: h["version"], ConfigHash: h["config_hash"],
			Started: time.UnixMicro(number(h["started"])).UTC(), Beat: time.UnixMicro(number(h["beat"])).UTC(),
			LeaseEnds: time.UnixMicro(int64(z.Score)).UTC(),
		}
		if err := json.Unmarshal([]byte(h["slots"]), &w.Slots); err != nil {
			continue // it is gone since the list was read
		}
		out = append(out, w)
	}
	return out, nil
}

// Serving returns, of the workers, those that serve a queue of this pool and handler.
func Serving(workers []Worker, pool, handler string) []Worker {
	var out []Worker
	for _, w := range workers {
		if _, ok := w.Slots[handler]; !ok {
			continue
		}
		for _, p := range w.Pools {
			if p == pool {
				out = append(out, w)
				break
			}
		}
	}
	return out
}
