package scheduler

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Worker is one throttlerd as it announces itself.
type Worker struct {
	ID         string
	Host       string
	PID        int
	Pools      []string
	Queues     []string       // when not empty, it serves only these
	Slots      map[string]int // by handler
	Down       []string       // handlers whose plugin is down
	Draining   bool           // it takes no more tasks and leaves when its last one has ended
	States     []HandlerState // of the handlers that are plugins
	Running    int
	Lease      time.Duration
	Version    string
	ConfigHash string
	Started    time.Time
	Beat       time.Time // its last sign of life
	LeaseEnds  time.Time

	// Indexes are what it claims from: pool:handler, or pool:handler=queue.
	Indexes []string
}

// Handlers are the names of the handlers it serves, sorted.
func (w Worker) Handlers() []string { return sortedKeys(w.Slots) }

// Live tells whether its lease holds at now, by engine time (Client.Now, Queue.At).
func (w Worker) Live(now time.Time) bool { return w.LeaseEnds.After(now) }

func (w Worker) fields() ([]any, error) {
	slots, err := json.Marshal(w.Slots)
	if err != nil {
		return nil, err
	}
	states, err := json.Marshal(w.States)
	if err != nil {
		return nil, err
	}
	return []any{
		"queues", strings.Join(w.Queues, " "), "host", w.Host, "pid", w.PID, "pools", strings.Join(w.Pools, " "), "slots", slots,
		"version", w.Version, "config_hash", w.ConfigHash, "started", w.Started.UnixMicro(),
		"indexes", strings.Join(w.Indexes, " "), "down", strings.Join(w.Down, " "), "draining", flag(w.Draining), "handlers", states,
	}, nil
}

// DownReason says whether the plugin of a handler is down, and why as far as the worker
// tells: "failing: exited with code 3".
func (w Worker) DownReason(handler string) (reason string, down bool) {
	if !slices.Contains(w.Down, handler) {
		return "", false
	}
	s, ok := w.State(handler)
	if !ok {
		return "", true
	}
	reason = "starting"
	if slices.ContainsFunc(s.Processes, func(p ProcessState) bool { return p.Phase == "failing" }) {
		reason = "failing"
	}
	if s.LastError != "" {
		reason += ": " + s.LastError
	}
	return reason, true
}

// Workers returns the workers that hold a lease, or whose lease has ended but whose
// tasks have not all been taken back, the oldest first.
func (c *Client) Workers(ctx context.Context) ([]Worker, error) {
	list, err := c.leases(ctx)
	if err != nil {
		return nil, err
	}
	return c.describe(ctx, list)
}

// WorkersOn is Workers for those of one host. Of the others it reads where they are, in
// one round trip.
func (c *Client) WorkersOn(ctx context.Context, host string) ([]Worker, error) {
	list, err := c.leases(ctx)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	pipe := c.rdb.Pipeline()
	hosts := make([]*redis.StringCmd, len(list))
	for i, z := range list {
		hosts[i] = pipe.HGet(ctx, c.keys.worker(z.Member.(string)), "host")
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("workers of host %q: %w", host, redisError(err))
	}
	here := list[:0]
	for i, z := range list {
		if hosts[i].Val() == host {
			here = append(here, z)
		}
	}
	return c.describe(ctx, here)
}

// leases are the workers with the ends of their leases.
func (c *Client) leases(ctx context.Context) ([]redis.Z, error) {
	list, err := c.rdb.ZRangeWithScores(ctx, c.keys.workers(), 0, -1).Result()
	if err != nil {
		return nil, fmt.Errorf("list workers: %w", redisError(err))
	}
	return list, nil
}

func (c *Client) describe(ctx context.Context, list []redis.Z) ([]Worker, error) {
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
			Queues: strings.Fields(h["queues"]), Indexes: strings.Fields(h["indexes"]),
			Down: strings.Fields(h["down"]), Draining: h["draining"] == "1", States: handlerStates(h["handlers"]), Running: int(n), Lease: time.Duration(number(h["lease"])) * time.Microsecond,
			Version: h["version"], ConfigHash: h["config_hash"],
			Started: time.UnixMicro(number(h["started"])).UTC(), Beat: time.UnixMicro(number(h["beat"])).UTC(),
			LeaseEnds: time.UnixMicro(int64(z.Score)).UTC(),
		}
		if err := json.Unmarshal([]byte(h["slots"]), &w.Slots); err != nil {
			continue // it is gone since the list was read
		}
		out = append(out, w)
	}
	slices.SortFunc(out, func(a, b Worker) int {
		return cmp.Or(a.Started.Compare(b.Started), strings.Compare(a.ID, b.ID))
	})
	return out, nil
}

// Serves tells whether the worker takes tasks of a queue of this name, pool and handler.
func (w Worker) Serves(queue, pool, handler string) bool {
	_, ok := w.Slots[handler]
	return ok && !w.Draining && slices.Contains(w.Pools, pool) && (len(w.Queues) == 0 || slices.Contains(w.Queues, queue))
}

// Serving returns, of the workers, those that serve the queue.
func Serving(workers []Worker, queue, pool, handler string) []Worker {
	var out []Worker
	for _, w := range workers {
		if w.Serves(queue, pool, handler) {
			out = append(out, w)
		}
	}
	return out
}
