package scheduler

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"reflect"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/throttlerd/throttlerd/ratelimit"
)

// standingClock is a client of a Redis of its own, whose TIME moves only when it is told.
func standingClock(t *testing.T, now time.Time) (*miniredis.Miniredis, *redis.Client, *Client) {
	t.Helper()
	m := miniredis.RunT(t)
	m.SetTime(now)
	conn := redis.NewClient(&redis.Options{Addr: m.Addr(), MaxRetries: -1, DisableIdentity: true})
	c, err := New(conn, Options{Namespace: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return m, conn, c
}

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
						m, conn, c := standingClock(t, now)
						defer conn.Close()
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
					m, conn, c := standingClock(t, now)
					defer conn.Close()
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

// What claim_alone.lua does is what claim.lua would have done without it: the same grants, the
// same state of Redis, whatever came before. A key that is not served, and turns out to be
// blocked by what its next task costs, is found so by a later claim, which may grant nothing.
func TestLoneClaimIsTheLongOne(t *testing.T) {
	ctx := context.Background()
	defer func(n int) { miniredis.DumpMaxLineLen = n }(miniredis.DumpMaxLineLen)
	miniredis.DumpMaxLineLen = 10_000
	long := finish("claim", ratelimit.WakeLua+lua("next")+lua("begin")+lua("claim_plain"), source(queueParts, "supply", "turns", "claim"))
	// The usual run is the same each time. In one world of some thousands keys of equal pass have
	// another order: by name, or behind one of which only the long one knows that it was blocked.
	seed, worlds, taken, early := uint64(4), 60, 0, 0
	if os.Getenv("THROTTLE_LONG") != "" {
		seed, worlds = seedOf(t), 3000
	}
	for world := range uint64(worlds) {
		one := func(claim *script) (state string, grants [][]Grant, next []Next, alone int) {
			r := rand.New(rand.NewPCG(seed, world))
			now := time.UnixMicro(1_800_000_000_000_000)
			m, conn, c := standingClock(t, now)
			defer conn.Close()
			draw := func(of ...string) string { return of[r.IntN(len(of))] }
			spec := DefaultQueue("echo")
			of := []string{"unlimited", "1000000000/1s:100000", "5/1m:100", "100/1s:8", "30/1m:20,100/1s", "2/1s"}
			if r.IntN(2) == 0 { // then it is only the keys that hold it up
				of = of[:2]
			}
			for i := range 1 + r.IntN(3) {
				spec.Limits = append(spec.Limits, fmt.Sprint("l", i))
				newLimit(t, c, fmt.Sprint("l", i), draw(of...), r.IntN(10)/9*30)
			}
			spec.Rates = rates(t, draw("unlimited", "unlimited", "1000/1s:10", "20/1s:30"))
			if r.IntN(3) > 0 {
				spec.Key = &KeySpec{Rates: rates(t, draw("unlimited", "1000000000/1s:100000", "10/1m:5", "1/1s:2")), Weight: 1 + r.IntN(2), Concurrency: r.IntN(10) / 9 * 5}
				if r.IntN(8) == 0 {
					spec.Exceptions = map[string]KeyRule{"k0": {Weight: new(3)}}
				}
			}
			if _, err := c.CreateQueue(ctx, "q", spec); err != nil {
				t.Fatal(err)
			}
			s, err := c.Register(ctx, Worker{ID: "w", Pools: []string{"default"}, Indexes: []string{"default:echo"}, Lease: time.Hour, Started: now})
			if err != nil {
				t.Fatal(err)
			}
			limiter, err := ratelimit.NewLimiter(conn, ratelimit.Options{Namespace: "test"})
			if err != nil {
				t.Fatal(err)
			}
			keys, costs, slots := 1+r.IntN(12), []int64{1, 1, 2, 3}[:1+r.IntN(4)], 12
			if r.IntN(6) == 0 { // so many that Redis keeps tables
				keys, slots = 60, 45
			}
			submit := func(n int) {
				var tasks []SubmitRequest
				for range n {
					x := SubmitRequest{Cost: costs[r.IntN(len(costs))], Payload: []byte("x")}
					if spec.Key != nil {
						x.Key = fmt.Sprint("k", r.IntN(keys))
					}
					if len(costs) == 4 && r.IntN(4) == 0 {
						x.Costs = map[string]int64{"key": int64(r.IntN(3)), "l0": int64(r.IntN(3))}
					}
					tasks = append(tasks, x)
				}
				_, _ = c.SubmitMany(ctx, "q", tasks) // some are refused: they cost more than there can be
			}
			var held []Grant
			for range 12 {
				now = now.Add([]time.Duration{time.Microsecond, 20 * time.Millisecond, 3 * time.Second, time.Minute}[r.IntN(4)])
				m.SetTime(now)
				submit(r.IntN(5 * slots / 4))
				if r.IntN(10) == 0 {
					if tasks, err := c.Tasks(ctx, "q", "waiting", 20); err == nil && len(tasks) > 0 {
						_, _ = c.Cancel(ctx, tasks[r.IntN(len(tasks))].ID)
					}
				}
				// where a queue waits that has keys, and whose next task is not under that limit,
				// the short one leaves it to the next claim: beside another queue that is another turn
				if r.IntN(15) == 0 && (spec.Key == nil || len(costs) < 4) {
					newQueue(t, c, fmt.Sprint("other", now.UnixMicro()), "", under("l0"))
					submitN(t, c, fmt.Sprint("other", now.UnixMicro()), 2)
				}
				switch limit, fast := fmt.Sprint("l", r.IntN(len(spec.Limits))), rates(t, "1000000000/1s:100000"); r.IntN(30) {
				case 0:
					_, _ = limiter.Take(ctx, limit, 1+int64(r.IntN(20))) // one that does not get its tokens has asked for them
				case 1:
					_, err = c.SetLimit(ctx, limit, LimitChange{Rates: &fast, For: 2 * time.Second})
				case 2:
					_, err = c.SetLimit(ctx, limit, LimitChange{Concurrency: new(r.IntN(2) * 40)})
				case 3:
					if spec.Key != nil {
						err = c.UpdateQueue(ctx, "q", QueueChange{Key: new(&KeySpec{Rates: fast, Weight: 1, Concurrency: r.IntN(2) * 4})})
					}
				}
				if err != nil {
					t.Fatal(err)
				}
				args := s.claimArgs(&Claim{Slots: []Slots{{"default:echo", 1 + r.IntN(slots)}}, Lookahead: 50 * time.Millisecond, Most: r.IntN(2) * (1 + r.IntN(slots))})
				reply, err := c.run(ctx, claim, args...)
				if err != nil {
					t.Fatal(err)
				}
				g, err := s.readGrants(reply, &Claim{Slots: []Slots{{"default:echo", 1}}}, now, now)
				if err != nil {
					t.Fatal(err)
				}
				if queues := reply[4].([]any); claim == claimScript && len(queues) > 0 && len(queues[3].([]any))%2 == 1 {
					alone++ // the start of all comes first, not of each
				}
				grants, next = append(grants, g.Grants), append(next, g.Indexes[0])
				held = append(held, g.Grants...)
				var out, rest = []Outcome(nil), []Grant(nil)
				for _, x := range held {
					switch r.IntN(12) {
					case 0, 1, 2, 3, 4, 5, 6:
						out = append(out, report(x, Done, 0, ""))
					case 7:
						o := report(x, []string{GiveBack, Postponed, Throttled}[r.IntN(3)], 300_000, "")
						o.Limit = draw("", "key", "l0")
						out = append(out, o)
					default:
						rest = append(rest, x)
					}
				}
				held = rest
				if len(out) > 0 {
					settle(t, s, out...)
				}
			}
			state = m.Dump()
			if len(costs) > 1 && spec.Key != nil {
				state = keyPlaces.ReplaceAllString(state, "$1")
			}
			return state, grants, next, alone
		}
		state, grants, next, alone := one(claimScript)
		wantState, want, wantNext, _ := one(long)
		taken += alone
		for i := range next {
			if next[i].In < wantNext[i].In { // never later
				next[i].In = wantNext[i].In
				early++
			}
		}
		if !reflect.DeepEqual(grants, want) || !reflect.DeepEqual(next, wantNext) || state != wantState {
			t.Fatalf("world %d: with the short one\n%s\n%+v %+v\nwithout it\n%s\n%+v %+v", world, state, grants, next, wantState, want, wantNext)
		}
	}
	if early > 1+worlds/20 {
		t.Errorf("%d claims are called for too early", early)
	}
	t.Logf("%d of %d claims were short ones", taken, worlds*12)
	if taken < worlds {
		t.Error("too few to prove anything")
	}
}

// keyPlaces are where keys stand that may start now, or from an instant, and their queue; and
// how often a change of it found any that wait.
var keyPlaces = regexp.MustCompile(`\n- \{test\}:(?:due|keyready|keylater|lw|lx):\S*(?:\n   .*)*|\n   place: .*|\n   stales: .*|( \d+ \d+ \d+ \d+ )[rl] `)
