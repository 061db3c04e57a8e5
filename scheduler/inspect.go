package scheduler

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/throttlerd/throttlerd/ratelimit"
)

// Queue is one queue as it stood at one instant.
type Queue struct {
	Name string
	QueueSpec
	Owner      string     // of the file that declares it, or ""
	Undeclared bool       // its owner's file has it no more: held, kept
	Declared   *QueueSpec // what the file says, where that differs from what is in force
	Created    time.Time
	Held       string // "", "paused", "undeclared", or "damaged": its rate cannot be read

	Waiting, Scheduled, Running, Dead int64
	Ended                             int64 // done, cancelled and expired ones that are kept (History)

	Completed    int64 // tasks done
	Failed       int64 // runs that ended in an error, a panic or a timeout, and deaths by crashes
	TokensSpent  int64 // granted starts
	TokensWasted int64 // of those, given back without a start
	Tokens       float64
	NextToken    time.Time // when the next whole token is there; zero without a rate
	FrozenUntil  time.Time // zero unless an upstream's slow-down is in force
	BlockedBy    string    // "", as Held, "frozen", "rate"; whether a worker serves it: ServiceOf
	At           time.Time // engine time of the snapshot
}

// Queue returns one queue; an unknown name is a *NotFoundError.
func (c *Client) Queue(ctx context.Context, name string) (Queue, error) {
	if err := CheckName("queue", name); err != nil {
		return Queue{}, err
	}
	list, err := c.show(ctx, name)
	if err != nil {
		return Queue{}, err
	}
	if len(list) == 0 {
		return Queue{}, c.unknownQueue(ctx, name)
	}
	return list[0], nil
}

// Queues returns all queues by name, read in pages of 200, each page at one instant.
func (c *Client) Queues(ctx context.Context) ([]Queue, error) {
	var out []Queue
	from := "-"
	for {
		names, err := c.rdb.ZRangeByLex(ctx, c.keys.queues(), &redis.ZRangeBy{Min: from, Max: "+", Count: 200}).Result()
		if err != nil {
			return nil, fmt.Errorf("list queues: %w", redisError(err))
		}
		if len(names) == 0 {
			return out, nil
		}
		page, err := c.show(ctx, names...)
		if err != nil {
			return nil, err
		}
		out = append(out, page...)
		from = "(" + names[len(names)-1]
	}
}

// Now returns engine time: the clock of leases, instants and heartbeats.
func (c *Client) Now(ctx context.Context) (time.Time, error) {
	reply, err := c.run(ctx, showScript)
	if err != nil {
		return time.Time{}, fmt.Errorf("read engine time: %w", err)
	}
	return time.UnixMicro(reply[0].(int64)).UTC(), nil
}

func (c *Client) show(ctx context.Context, names ...string) ([]Queue, error) {
	args := make([]any, len(names))
	for i, n := range names {
		args[i] = n
	}
	reply, err := c.run(ctx, showScript, args...)
	if err != nil {
		return nil, fmt.Errorf("show queue: %w", err)
	}
	now := reply[0].(int64)
	out := make([]Queue, 0, len(names))
	for i, name := range names {
		if h := hash(reply[1+i]); len(h) > 0 {
			out = append(out, readQueue(name, h, now))
		}
	}
	return out, nil
}

func readQueue(name string, h map[string]string, now int64) Queue {
	q := Queue{
		Name: name, QueueSpec: decodeSpec(h, ""), Owner: h["owner"], Undeclared: h["undeclared"] == "1",
		Created: time.UnixMicro(number(h["created"])).UTC(), Held: h["held"],
		Waiting: number(h["waiting"]), Scheduled: number(h["later"]), Running: number(h["running"]), Dead: number(h["dead"]),
		Ended:     number(h["ended"]),
		Completed: number(h["done"]), Failed: number(h["failed"]),
		TokensSpent: number(h["spent"]), TokensWasted: number(h["wasted"]), At: time.UnixMicro(now).UTC(),
	}
	if _, ok := h["d_handler"]; ok {
		if d := decodeSpec(h, "d_"); d != q.QueueSpec {
			q.Declared = &d
		}
	}
	if h["rate"] != "" && q.Rate.IsZero() {
		q.Held = "damaged"
	}
	ready := now
	if q.Rate.N > 0 {
		b := ratelimit.Bucket{FullAt: number(h["full_at"]), Rem: number(h["rem"])}
		q.Tokens = max(0, b.Tokens(q.Rate, now))
		next := min(max(0, b.Left(q.Rate, now))+1, q.Rate.Burst)
		q.NextToken = time.UnixMicro(max(now, b.At(q.Rate, next))).UTC()
		ready = b.At(q.Rate, 1)
	}
	if f := number(h["frozen"]); f > now {
		q.FrozenUntil = time.UnixMicro(f).UTC()
	}
	switch {
	case q.Held != "":
		q.BlockedBy = q.Held
	case !q.FrozenUntil.IsZero():
		q.BlockedBy = "frozen"
	case q.Waiting > 0 && ready > now:
		q.BlockedBy = "rate"
	}
	return q
}

// hash reads what HGETALL replies inside a script.
func hash(v any) map[string]string {
	flat, _ := v.([]any)
	h := make(map[string]string, len(flat)/2)
	for i := 0; i+1 < len(flat); i += 2 {
		h[flat[i].(string)] = flat[i+1].(string)
	}
	return h
}
