package scheduler

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/tests/redistest"
)

// onBoth runs a test on a real redis-server and on the embedded one of dev.
func onBoth(t *testing.T, f func(t *testing.T, c *Client)) {
	t.Helper()
	for name, rdb := range map[string]func(t *testing.T) *redis.Client{
		"redis": func(t *testing.T) *redis.Client { return redistest.Start(t).Client() },
		"miniredis": func(t *testing.T) *redis.Client {
			return redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr(), MaxRetries: -1, DisableIdentity: true})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := rdb(t)
			t.Cleanup(func() { conn.Close() })
			c, err := New(conn, Options{Namespace: "test"})
			if err != nil {
				t.Fatal(err)
			}
			f(t, c)
		})
	}
}

func rate(t *testing.T, s string) ratelimit.Rate {
	t.Helper()
	r, err := ratelimit.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func rates(t *testing.T, s string) ratelimit.Rates {
	t.Helper()
	rs, err := ratelimit.ParseRates(s)
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

func newQueue(t *testing.T, c *Client, name, r string, change ...func(*QueueSpec)) {
	t.Helper()
	spec := DefaultQueue("echo")
	if r != "" {
		spec.Rates = rates(t, r)
	}
	for _, f := range change {
		f(&spec)
	}
	if _, err := c.CreateQueue(context.Background(), name, spec); err != nil {
		t.Fatal(err)
	}
}

func submitN(t *testing.T, c *Client, queue string, n int) []Receipt {
	t.Helper()
	tasks := make([]SubmitRequest, n)
	for i := range tasks {
		tasks[i].Payload = fmt.Appendf(nil, `{"n":%d}`, i)
	}
	out, err := c.SubmitMany(context.Background(), queue, tasks)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func newWorker(t *testing.T, c *Client, id string) *Session {
	t.Helper()
	s, err := c.Register(context.Background(), Worker{
		ID: id, Pools: []string{"default"}, Indexes: []string{"default:echo"}, Slots: map[string]int{"echo": 64}, Lease: 10 * time.Second, Started: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func claimN(t *testing.T, s *Session, free int) *Granted {
	t.Helper()
	g, _, _, err := s.Exchange(context.Background(), nil, &Claim{Slots: []Slots{{"default:echo", free}}, Lookahead: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func settle(t *testing.T, s *Session, out ...Outcome) (stale int) {
	t.Helper()
	_, settled, err, _ := s.Exchange(context.Background(), out, nil)
	if err != nil {
		t.Fatal(err)
	}
	return settled.Stale
}

func statusOf(t *testing.T, c *Client, name string) Queue {
	t.Helper()
	q, err := c.Queue(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestClaimInOrderAndSettle(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		newQueue(t, c, "q", "")
		receipts := submitN(t, c, "q", 100)
		s := newWorker(t, c, "w1")
		g := claimN(t, s, 64)
		if len(g.Grants) != 64 || g.Indexes[0].Idle {
			t.Fatalf("granted %d, idle %v", len(g.Grants), g.Indexes[0].Idle)
		}
		var out []Outcome
		for i, x := range g.Grants {
			if i > 0 && x.Fence != g.Grants[i-1].Fence+1 {
				t.Fatalf("fence %d after %d", x.Fence, g.Grants[i-1].Fence)
			}
			if x.ID != receipts[i].ID || x.Attempt != 1 {
				t.Fatalf("grant %d: %+v, want id %s", i, x, receipts[i].ID)
			}
			out = append(out, Outcome{Task: x.Internal, Fence: x.Fence, Kind: Done, Text: string(x.Payload)})
		}
		if n := settle(t, s, out...); n != 0 {
			t.Fatalf("%d stale", n)
		}
		if n := settle(t, s, out...); n != 64 {
			t.Fatalf("settled twice: only %d of 64 stale", n)
		}
		q := statusOf(t, c, "q")
		if q.Waiting != 36 || q.Running != 0 || q.Completed != 64 {
			t.Fatalf("%+v", q)
		}
		task, err := c.Task(context.Background(), receipts[3].ID)
		if err != nil || task.State != "done" || string(task.Result) != `{"n":3}` {
			t.Fatalf("%+v %v", task, err)
		}
	})
}
