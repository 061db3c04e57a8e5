package scheduler

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// queuePage is how many queues one call reads: as many as Redis reads in a millisecond.
const queuePage = 100

// Queue is one queue as it stood at one instant.
type Queue struct {
	Name string
	QueueSpec
	Owner      string     // of the file that declares it, or ""
	Undeclared bool       // its owner's file has it no more: held, kept
	Declared   *QueueSpec // what the file says, where that differs from what is in force
	Created    time.Time
	Held       string // "", "paused", "undeclared", or "damaged": its rates cannot be read

	Waiting, Scheduled, Dead int64 // and Running, of the Bucket
	Ended                    int64 // done, cancelled and expired ones that are kept (History)

	Completed           int64    // tasks done
	Failed              int64    // runs that ended in an error, a panic or a timeout, and deaths by crashes
	Starts              int64    // granted
	TokensSpent         int64    // by them, of its own limit
	TokensWasted        int64    // of those, given back without a start
	Credited, Owed, Cut int64    // as of a Limit
	Bucket                       // of the queue's own limit
	Binding             *Binding // the limit that holds its next task up; nil where none does, or it has none waiting
	BlockedBy           string   // "", as Held, "frozen", "rate", "concurrency", "keys" (all are blocked), `limit "github"`; whether a worker serves it: ServiceOf
	ActiveKeys          int64    // keys with waiting tasks
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

// Queues returns all queues by name, read in pages, each page at one instant.
func (c *Client) Queues(ctx context.Context) ([]Queue, error) {
	out, _, err := c.QueuesUpTo(ctx, math.MaxInt)
	return out, err
}

// QueuesUpTo is Queues for the first so many; more tells whether there are others.
func (c *Client) QueuesUpTo(ctx context.Context, most int) (list []Queue, more bool, err error) {
	more, err = c.pages(ctx, c.keys.queues(), "queues", most, func(names []string) error {
		page, err := c.show(ctx, names...)
		list = append(list, page...)
		return err
	})
	return list, more, err
}

// QueuesByName returns, of these queues, those that there are.
func (c *Client) QueuesByName(ctx context.Context, names ...string) (list []Queue, err error) {
	for page := range slices.Chunk(names, queuePage) {
		queues, err := c.show(ctx, page...)
		if err != nil {
			return nil, err
		}
		list = append(list, queues...)
	}
	return list, nil
}

// pages calls f with the names in a set, a page at a time, until there are no more or most
// have come.
func (c *Client) pages(ctx context.Context, key, what string, most int, f func(names []string) error) (more bool, err error) {
	for from := "-"; ; {
		names, err := c.rdb.ZRangeByLex(ctx, key, &redis.ZRangeBy{Min: from, Max: "+", Count: queuePage}).Result()
		if err != nil {
			return false, fmt.Errorf("list %s: %w", what, redisError(err))
		}
		if len(names) > most {
			names, more = names[:most], true
		}
		if len(names) == 0 {
			return more, nil
		}
		if err := f(names); err != nil || more {
			return more, err
		}
		most -= len(names)
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
		if f := reply[1+i].([]any); len(f) == 5 {
			out = append(out, readQueue(name, f, now))
		}
	}
	return out, nil
}

func readQueue(name string, f []any, now int64) Queue {
	h := hash(f[0])
	q := Queue{
		Name: name, QueueSpec: decodeSpec(h, ""), Owner: h["owner"], Undeclared: h["undeclared"] == "1",
		Created: time.UnixMicro(number(h["created"])).UTC(), Held: h["held"],
		Waiting: number(h["waiting"]), Scheduled: number(h["later"]), Dead: number(h["dead"]),
		Ended:     number(h["ended"]),
		Completed: number(h["done"]), Failed: number(h["failed"]),
		TokensSpent: number(h["spent"]), TokensWasted: number(h["wasted"]),
		Credited: number(h["credited"]), Owed: number(h["owed"]), Cut: number(h["cut"]),
		Bucket:     Bucket{At: time.UnixMicro(now).UTC(), LastEdit: decodeEdit(h["edit"])},
		ActiveKeys: f[2].(int64),
	}
	if q.Starts = q.TokensSpent; h["dear"] == "1" {
		q.Starts = number(h["starts"])
	}
	if _, ok := h["d_handler"]; ok {
		if d := decodeSpec(h, "d_"); !d.Equal(q.QueueSpec) {
			q.Declared = &d
		}
	}
	stand := readStandings(f[1])
	if h["rate"] != "" && len(q.Rates) == 0 {
		q.Held = "damaged"
	}
	for i := range stand.list {
		stand.list[i].b.Bring(now)
	}
	own := &stand.list[0]
	own.fill(&q.Bucket, now)
	q.Rates, q.Running = own.b.Rates, number(h["running"])
	if q.Waiting > 0 {
		all, costs := decodeCosts(f[4].(string))
		_, q.Binding = stand.bind(now, 0, all, costs, "")
	}
	q.BlockedBy = q.blockedBy(f[3].(int64), now)
	return q
}

// blockedBy names what holds the first waiting task up; nextKey is the instant of the
// first key that may go, -1 for none, 0 for one that is ready.
func (q *Queue) blockedBy(nextKey, now int64) string {
	switch {
	case q.Held != "":
		return q.Held
	case !q.FrozenUntil.IsZero():
		return "frozen"
	case q.Waiting == 0:
		return ""
	case q.Binding != nil && q.Binding.Limit == ofQueue:
		return q.Binding.Why
	case q.Binding != nil:
		return q.Binding.Limit
	case nextKey < 0 || nextKey > now:
		return "keys"
	}
	return ""
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
