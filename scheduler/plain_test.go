package scheduler

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// What submit_plain.lua does is what submit.lua would have done: the same receipts, the same
// state of Redis, and the same worker is told, of every kind of queue.
func TestShortSubmitIsTheLongOne(t *testing.T) {
	ctx := context.Background()
	defer func(n int) { miniredis.DumpMaxLineLen = n }(miniredis.DumpMaxLineLen)
	miniredis.DumpMaxLineLen = 10_000
	now := time.UnixMicro(1_800_000_000_000_000)
	queues := map[string]func(*QueueSpec){
		"open":    func(*QueueSpec) {},
		"rated":   func(s *QueueSpec) { s.Rates = rates(t, "1/1h:2") },
		"rates":   func(s *QueueSpec) { s.Rates = rates(t, "10/1s:2,20/1h") },
		"capped":  func(s *QueueSpec) { s.Concurrency = 1 },
		"paused":  func(s *QueueSpec) { s.Paused = true },
		"bounded": func(s *QueueSpec) { s.MaxLength = 3 },
		"limited": func(s *QueueSpec) { s.Limits = []string{"api"} },
		"keyed":   func(s *QueueSpec) { s.Key = &KeySpec{Rates: rates(t, "1/1h"), Weight: 1} },
	}
	calls := map[string][]SubmitRequest{
		"one":           {{Payload: []byte("a")}},
		"three":         {{Payload: []byte("a")}, {Payload: []byte("bbb")}, {Payload: []byte("c")}},
		"own id":        {{ID: "x", Payload: []byte("a")}},
		"own ids":       {{ID: "x", Payload: []byte("a")}, {ID: "y", Payload: []byte("bbb")}},
		"twice the id":  {{ID: "x", Payload: []byte("a")}, {ID: "x", Payload: []byte("b")}},
		"a taken id":    {{ID: "x", Payload: []byte("a")}, {ID: "first", Payload: []byte("b")}},
		"some with ids": {{Payload: []byte("a")}, {ID: "y", Payload: []byte("b")}},
		"with a key":    {{Key: "k", Payload: []byte("a")}},
		"scheduled":     {{In: time.Hour, Payload: []byte("a")}},
	}
	const backwards = "others waiting, and TIME steps back"
	first := SubmitRequest{Queue: "q", ID: "first", Key: "k", Payload: []byte("0")}
	befores := map[string]func(t *testing.T, c *Client, s *Session){
		"empty":          func(*testing.T, *Client, *Session) {},
		"an idle worker": func(t *testing.T, _ *Client, s *Session) { claimN(t, s, 5) },
		"others waiting": func(_ *testing.T, c *Client, _ *Session) { _, _ = c.Submit(ctx, first) },
		backwards:        func(_ *testing.T, c *Client, _ *Session) { _, _ = c.Submit(ctx, first) },
		"one scheduled": func(_ *testing.T, c *Client, _ *Session) {
			later := first
			later.In = time.Minute
			_, _ = c.Submit(ctx, later)
		},
		"one running": func(t *testing.T, c *Client, s *Session) {
			_, _ = c.Submit(ctx, first)
			claimN(t, s, 5)
		},
		"one cancelled": func(t *testing.T, c *Client, _ *Session) {
			_, _ = c.Submit(ctx, first)
			_, _ = c.Cancel(ctx, "first")
		},
		"frozen": func(t *testing.T, c *Client, s *Session) {
			_, _ = c.Submit(ctx, first)
			for _, x := range claimN(t, s, 5).Grants {
				settle(t, s, Outcome{Task: x.Internal, Fence: x.Fence, Kind: Throttled, Number: 1e6})
			}
		},
	}
	for queue, change := range queues {
		for call, tasks := range calls {
			for before, prepare := range befores {
				if len(tasks) > 1 && before != "empty" && before != "others waiting" {
					continue // they differ from one task where these do
				}
				t.Run(queue+", "+call+", "+before, func(t *testing.T) {
					// the short one hands it over: what claims make of both is the same
					handed := queue == "open" && (call == "one" || call == "own id") && (before == "an idle worker" || before == "one running")
					one := func(args func(string, []SubmitRequest) []any) (state string, receipts any, short bool) {
						m := miniredis.RunT(t)
						m.SetTime(now)
						conn := redis.NewClient(&redis.Options{Addr: m.Addr(), MaxRetries: -1, DisableIdentity: true})
						defer conn.Close()
						c, err := New(conn, Options{Namespace: "test"})
						if err != nil {
							t.Fatal(err)
						}
						if _, err := c.SetLimit(ctx, "api", LimitChange{Rates: new(rates(t, "1/1h:2"))}); err != nil {
							t.Fatal(err)
						}
						newQueue(t, c, "q", "", change)
						s, err := c.Register(ctx, Worker{ID: "w", Lease: 10 * time.Second, Started: now})
						if err != nil {
							t.Fatal(err)
						}
						told := conn.Subscribe(ctx, c.keys.wake("w"))
						defer told.Close()
						if _, err := told.Receive(ctx); err != nil {
							t.Fatal(err)
						}
						prepare(t, c, s)
						if m.SetTime(now.Add(time.Second)); before == backwards {
							m.SetTime(now.Add(-time.Hour))
						}
						waiting := statusOf(t, c, "q").Waiting
						reply, err := c.submitCall(ctx, "q", tasks, args("q", tasks))
						out := make([]Receipt, len(tasks))
						if err == nil {
							short = reply[0].(int64) == 2
							readReceipts("q", tasks, reply, out)
						}
						if handed {
							if g := claimN(t, s, 5).Grants; len(g) != 1 || g[0].Payload[0] != 'a' {
								t.Errorf("%+v was granted", g)
							}
							claimN(t, s, 5)
						}
						conn.Publish(ctx, c.keys.wake("w"), "end")
						heard := 0
						for x := range told.Channel() {
							if x.Payload == "end" {
								break
							}
							heard++
						}
						state = m.Dump()
						if waiting > 0 && before != backwards {
							state = clockLast.ReplaceAllString(state, "")
						}
						return state, fmt.Sprintf("%+v %v, %d times told", deref(out), err, heard), short
					}
					state, receipts, short := one(submitArgs)
					wantState, wantReceipts, _ := one(longArgs)
					plain := slices.Contains([]string{"one", "three", "own id", "own ids"}, call)
					if plain && (queue == "open" && before != "one scheduled" || queue == "rated" && before == "others waiting") && !short {
						t.Error("it was no short one")
					}
					if state != wantState {
						t.Errorf("the short one leaves\n%s\nthe long one\n%s", state, wantState)
					}
					if !reflect.DeepEqual(receipts, wantReceipts) {
						t.Errorf("the short one says\n%s\nthe long one\n%s", receipts, wantReceipts)
					}
				})
			}
		}
	}
}

// What settle_plain.lua does is what settle.lua would have done: the same reply, the same
// state of Redis.
func TestShortSettleIsTheLongOne(t *testing.T) {
	ctx := context.Background()
	defer func(n int) { miniredis.DumpMaxLineLen = n }(miniredis.DumpMaxLineLen)
	miniredis.DumpMaxLineLen = 10_000
	now := time.UnixMicro(1_800_000_000_000_000)
	key := func(k KeySpec) func(*QueueSpec) {
		return func(s *QueueSpec) { k.Weight = 1; s.Key, s.Limits = &k, []string{"api"} }
	}
	queues := map[string]struct {
		change func(*QueueSpec)
		short  bool // the second of two calls
	}{
		"open":              {func(*QueueSpec) {}, true},
		"rated":             {func(s *QueueSpec) { s.Rates = rates(t, "10/1s:9") }, true},
		"capped":            {func(s *QueueSpec) { s.Concurrency = 9 }, false},
		"short history":     {func(s *QueueSpec) { s.History = 1 }, false},
		"limited":           {func(s *QueueSpec) { s.Limits = []string{"api", "other"} }, true},
		"under a cap":       {func(s *QueueSpec) { s.Limits = []string{"api", "few"} }, false},
		"keyed":             {key(KeySpec{Rates: rates(t, "9/1h:9")}), true},
		"keys under a cap":  {key(KeySpec{Concurrency: 9}), false},
		"keys to be swept":  {key(KeySpec{Rates: rates(t, "9/1s:9")}), true}, // which the first call has done
		"removed meanwhile": {key(KeySpec{}), false},
	}
	tasks := map[string]SubmitRequest{
		"plain":          {},
		"an own id":      {ID: "own"},
		"of a cost":      {Cost: 2},
		"of costs":       {Costs: map[string]int64{"queue": 3, "api": 2}},
		"under no limit": {Costs: map[string]int64{"api": 0}},
		"not its own":    {Costs: map[string]int64{"queue": 0}},
	}
	for queue, q := range queues {
		for kind, task := range tasks {
			t.Run(queue+", "+kind, func(t *testing.T) {
				one := func(short bool) (state string, replies [2][]any) {
					m := miniredis.RunT(t)
					m.SetTime(now)
					conn := redis.NewClient(&redis.Options{Addr: m.Addr(), MaxRetries: -1, DisableIdentity: true})
					defer conn.Close()
					c, err := New(conn, Options{Namespace: "test"})
					if err != nil {
						t.Fatal(err)
					}
					for _, limit := range []string{"api", "other", "few"} {
						change := LimitChange{Rates: new(rates(t, "9/1h:9"))}
						if limit == "few" {
							change.Concurrency = new(9)
						}
						if _, err := c.SetLimit(ctx, limit, change); err != nil {
							t.Fatal(err)
						}
					}
					newQueue(t, c, "q", "", q.change)
					s, err := c.Register(ctx, Worker{ID: "w", Lease: 10 * time.Second, Started: now})
					if err != nil {
						t.Fatal(err)
					}
					for i := range 4 {
						r := task
						if r.Queue = "q"; i > 0 {
							r.ID = ""
						}
						spec := statusOf(t, c, "q").QueueSpec
						if spec.Key != nil {
							r.Key = fmt.Sprint("a:;", i%2)
						}
						if len(spec.Limits) == 0 {
							r.Costs = maps.Clone(r.Costs)
							delete(r.Costs, "api")
						}
						if _, err := c.Submit(ctx, r); err != nil {
							t.Fatal(err)
						}
					}
					g := claimN(t, s, 3).Grants
					if m.SetTime(now.Add(time.Minute)); queue == "removed meanwhile" {
						if err := c.RemoveQueue(ctx, "q", true); err != nil {
							t.Fatal(err)
						}
						newQueue(t, c, "q", "", q.change)
					}
					stale := Grant{Internal: g[0].Internal, Fence: g[0].Fence - 1}
					unknown := Grant{Internal: "0000000000000-1", Fence: 1}
					for n, grants := range [][]Grant{{stale, g[0], unknown}, g[1:]} {
						args := []any{"w"}
						var out []Outcome
						for _, x := range grants {
							o := Outcome{Task: x.Internal, Fence: x.Fence, Kind: Done, Text: x.ID}
							out = append(out, o)
							args = append(args, o.Task, o.Fence, o.Kind, 0, o.text(), "")
						}
						if short {
							args = s.settleArgs(out)
						}
						if replies[n], err = c.run(ctx, settleScript, args...); err != nil {
							t.Fatal(err)
						}
					}
					if conn.HLen(ctx, c.keys.run("w")).Val() != 0 || len(g) != 3 {
						t.Errorf("leases are left of %d", len(g))
					}
					return m.Dump(), replies
				}
				state, replies := one(true)
				wantState, want := one(false)
				if state != wantState {
					t.Errorf("the short one leaves\n%s\nthe long one\n%s", state, wantState)
				}
				if short := len(replies[1]) == 0; short != (q.short && kind != "an own id" && kind != "not its own") {
					t.Errorf("it was a short one: %v", short)
				} else if short {
					replies[1] = want[1]
				}
				if !reflect.DeepEqual(replies, want) || fmt.Sprint(want) != "[[0 1 0] [1 1]]" {
					t.Errorf("the short one says %v, the long one %v", replies, want)
				}
			})
		}
	}
}

// clockLast is what a submit behind others leaves as it is.
var clockLast = regexp.MustCompile(`\n *last: "[0-9]+"`)

// longArgs are those of submit.lua.
func longArgs(queue string, tasks []SubmitRequest) []any {
	args := []any{queue}
	for _, t := range tasks {
		r := record{OwnID: t.ID, Key: t.Key, Payload: t.Payload}
		args = append(args, t.ID, t.when(), r.encode())
	}
	return args
}

// deref makes receipts that print what they point to.
func deref(list []Receipt) (out []any) {
	for _, r := range list {
		out = append(out, *cmp.Or(r.Binding, &Binding{}))
		r.Binding = nil
		out = append(out, r)
	}
	return out
}
