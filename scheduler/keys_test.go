package scheduler

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
)

func byKey(spec KeySpec, exceptions map[string]KeyRule) func(*QueueSpec) {
	return func(s *QueueSpec) { s.Key, s.Exceptions = &spec, exceptions }
}

func submitKeys(t *testing.T, c *Client, queue string, n int, keys ...string) {
	t.Helper()
	var tasks []SubmitRequest
	for _, k := range keys {
		for range n {
			tasks = append(tasks, SubmitRequest{Key: k, Payload: []byte("{}")})
		}
	}
	if _, err := c.SubmitMany(context.Background(), queue, tasks); err != nil {
		t.Fatal(err)
	}
}

func keysOf(grants []Grant) map[string]int {
	n := make(map[string]int)
	for _, g := range grants {
		n[g.Key]++
	}
	return n
}

func ptr[T any](v T) *T { return &v }

// Keys take turns by weight, whatever one of them has waiting, in order within a key.
func TestKeysTakeTurns(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		newQueue(t, c, "q", "70/1s:70", byKey(KeySpec{Weight: 1}, map[string]KeyRule{"two": {Weight: ptr(2)}, "four": {Weight: ptr(4)}}))
		submitKeys(t, c, "q", 900, "one", "two", "four")
		s := newWorker(t, c, "w")
		got, last := map[string]int{}, map[string]string{}
		for range 10 {
			g := claimN(t, s, 128).Grants
			var out []Outcome
			for _, x := range g {
				got[x.Key]++
				if x.ID <= last[x.Key] {
					t.Fatalf("key %s: %s after %s", x.Key, x.ID, last[x.Key])
				}
				last[x.Key] = x.ID
				out = append(out, report(x, Done, 0, ""))
			}
			settle(t, s, out...)
			forward(t, c, time.Second)
		}
		n := float64(got["one"])
		if r := float64(got["two"]) / n; r < 1.95 || r > 2.05 {
			t.Errorf("%v", got)
		}
		if r := float64(got["four"]) / n; r < 3.9 || r > 4.1 {
			t.Errorf("%v", got)
		}
		checkInvariants(t, c)
	})
}

// A key has its own rate and cap; what blocks it blocks no other.
func TestKeyLimits(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		newQueue(t, c, "q", "", byKey(KeySpec{Rates: rates(t, "1/1m:2"), Concurrency: 3, Weight: 1},
			map[string]KeyRule{"big": {Rates: ptr(rates(t, "1/1m:20")), Concurrency: ptr(10)}}))
		if _, err := c.Submit(ctx, SubmitRequest{Queue: "q"}); err == nil {
			t.Error("a task without a key is taken in")
		}
		submitKeys(t, c, "q", 30, "a", "b", "big")
		s := newWorker(t, c, "w")
		g := claimN(t, s, 64).Grants
		if n := keysOf(g); n["a"] != 2 || n["b"] != 2 || n["big"] != 10 {
			t.Fatalf("%v", n)
		}
		checkInvariants(t, c)
		if q := statusOf(t, c, "q"); q.BlockedBy != "keys" || q.ActiveKeys != 3 {
			t.Errorf("%q %d", q.BlockedBy, q.ActiveKeys)
		}
		for _, x := range g {
			if x.Key == "big" {
				settle(t, s, report(x, Done, 0, ""))
			}
		}
		if n := keysOf(claimN(t, s, 64).Grants); n["big"] != 10 || len(n) != 1 {
			t.Errorf("after the settle: %v", n)
		}
		forward(t, c, time.Minute)
		if n := keysOf(claimN(t, s, 64).Grants); n["a"] != 1 || n["b"] != 1 || n["big"] != 0 {
			t.Errorf("a minute later: %v", n)
		}
		checkInvariants(t, c)
		// an exception goes, live: the key is as all others, and may not go beyond
		if err := c.UpdateQueue(ctx, "q", QueueChange{Exceptions: map[string]*KeyRule{"big": nil, "a": {Concurrency: ptr(0), Rates: ptr(rates(t, "unlimited"))}}}); err != nil {
			t.Fatal(err)
		}
		checkInvariants(t, c)
		if n := keysOf(claimN(t, s, 64).Grants); n["a"] != 27 || len(n) != 1 {
			t.Errorf("after the change of exceptions: %v", n)
		}
	})
}

// A key that is full while its queue's rate lets nothing start is debited at the instant of
// the start, as the queue is: its next token comes a whole period after that.
func TestKeyIsDebitedAtTheStart(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		newQueue(t, c, "q", "10/1s", byKey(KeySpec{Rates: rates(t, "2/1s"), Weight: 1}, nil))
		submitKeys(t, c, "q", 1, "a")
		submitKeys(t, c, "q", 5, "b") // whose first waits for the queue's next token
		s := newWorker(t, c, "w")
		at, ahead := make(map[string][]int64), 0
		for left := 6; left > 0; {
			g := claimN(t, s, 16).Grants
			for _, x := range g {
				at[x.Key] = append(at[x.Key], x.GrantedAt.UnixMicro())
				if x.StartIn > 5*time.Millisecond {
					ahead++
				}
			}
			left -= len(g)
			forward(t, c, 10*time.Millisecond)
		}
		for key, list := range at {
			if err := ratelimit.Check(rate(t, "2/1s"), ratelimit.Grants(list...)); err != nil {
				t.Errorf("key %s: %v", key, err)
			}
		}
		if ahead == 0 {
			t.Error("nothing was reserved: the test has shown nothing")
		}
		checkInvariants(t, c)
	})
}

// A cap counts what runs when a key comes under it, too.
func TestKeyCapCountsWhatRuns(t *testing.T) {
	for name, change := range map[string]func(cap int) QueueChange{
		"of all": func(cap int) QueueChange {
			return QueueChange{Key: ptr(&KeySpec{Concurrency: cap, Weight: 1})}
		},
		"of one": func(cap int) QueueChange {
			return QueueChange{Exceptions: map[string]*KeyRule{"a key=1;:b": {Concurrency: ptr(cap)}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, c *Client) {
				ctx, key := context.Background(), "a key=1;:b"
				newQueue(t, c, "q", "", byKey(KeySpec{Weight: 1}, map[string]KeyRule{"other": {Weight: ptr(2)}}))
				newQueue(t, c, "beside", "", byKey(KeySpec{Weight: 1}, nil))
				first, second := newWorker(t, c, "w1"), newWorker(t, c, "w2")
				submitKeys(t, c, "beside", 1, key)
				submitKeys(t, c, "q", 5, key)
				claimN(t, first, 4)
				held := claimN(t, second, 4).Grants
				submitKeys(t, c, "q", 9, key)
				checkInvariants(t, c)
				set := func(cap int) {
					t.Helper()
					if err := c.UpdateQueue(ctx, "q", change(cap)); err != nil {
						t.Fatal(err)
					}
				}
				set(6)
				checkInvariants(t, c)
				g := claimN(t, first, 64).Grants
				if len(g) != 1 || len(held) != 2 {
					t.Fatalf("5 run, the cap is 6, and %d more start", len(g))
				}
				for _, x := range append(g, held...) { // leased under the cap, and before it
					settle(t, second, report(x, Done, 0, ""))
					settle(t, first, report(x, Done, 0, ""))
				}
				g = claimN(t, first, 64).Grants
				if len(g) != 3 {
					t.Errorf("3 have ended, and %d start", len(g))
				}
				checkInvariants(t, c)
				set(0) // and back: what had a place gives it back
				more := claimN(t, first, 2).Grants
				settle(t, first, report(g[0], Done, 0, ""), report(more[0], GiveBack, 0, ""))
				checkInvariants(t, c)
				set(7)
				if g = claimN(t, first, 64).Grants; len(g) != 1 {
					t.Errorf("6 run, the cap is 7, and %d more start", len(g))
				}
				checkInvariants(t, c)
			})
		})
	}
}

// What starts while a count of places is under way takes one, so that the count is right at its
// end.
func TestStartDuringACountTakesAPlace(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		newQueue(t, c, "q", "", byKey(KeySpec{Weight: 1}, nil))
		s := newWorker(t, c, "w")
		submitKeys(t, c, "q", 12, "a")
		claimN(t, s, 1)
		var n any
		for _, args := range [][]any{{"begin"}, {"leases", "w", "0"}, {"claim"}, {"end"}} {
			switch args[0] {
			case "claim":
				claimN(t, s, 3)
				continue
			case "end":
				args = append(args, n)
			}
			reply, err := c.run(ctx, countScript, append([]any{"q"}, args...)...)
			if err != nil {
				t.Fatal(err)
			}
			if args[0] == "begin" {
				n = reply[0]
			}
		}
		if err := c.UpdateQueue(ctx, "q", QueueChange{Key: ptr(&KeySpec{Concurrency: 5, Weight: 1})}); err != nil {
			t.Fatal(err)
		}
		if n := len(claimN(t, s, 64).Grants); n != 1 {
			t.Errorf("4 run, the cap is 5, and %d more start", n)
		}
		checkInvariants(t, c)
	})
}

// A count of places that somebody else began, and did not end or ends late, changes nothing:
// what was granted meanwhile holds places, and what runs is counted again.
func TestCountOfPlacesCutShort(t *testing.T) {
	for name, capped := range map[string]func(c *Client) error{
		"update": func(c *Client) error {
			return c.UpdateQueue(context.Background(), "q", QueueChange{Key: ptr(&KeySpec{Concurrency: 5, Weight: 1})})
		},
		"file": func(c *Client) error {
			spec := DefaultQueue("echo")
			spec.Key = &KeySpec{Concurrency: 5, Weight: 1}
			return c.Apply(context.Background(), Declaration{Owner: "o", Queues: map[string]QueueSpec{"q": spec}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, c *Client) {
				spec := DefaultQueue("echo")
				spec.Key = &KeySpec{Weight: 1}
				if err := c.Apply(context.Background(), Declaration{Owner: "o", Queues: map[string]QueueSpec{"q": spec}}); err != nil {
					t.Fatal(err)
				}
				count := func(args ...any) []any {
					reply, err := c.run(context.Background(), countScript, append([]any{"q"}, args...)...)
					if err != nil {
						t.Fatal(err)
					}
					return reply
				}
				s := newWorker(t, c, "w")
				submitKeys(t, c, "q", 12, "a")
				claimN(t, s, 1)
				first := count("begin")
				claimN(t, s, 1)
				second := count("begin")
				count("leases", "w", "0")
				g := claimN(t, s, 2).Grants
				count("end", first[0]) // it is not the last that began
				checkInvariants(t, c)
				if err := capped(c); err != nil {
					t.Fatal(err)
				}
				count("end", second[0])
				checkInvariants(t, c)
				if n := len(claimN(t, s, 64).Grants); n != 1 {
					t.Errorf("4 run, the cap is 5, and %d more start", n)
				}
				settle(t, s, report(g[0], Done, 0, ""), report(g[1], Done, 0, ""))
				checkInvariants(t, c)
				if n := len(claimN(t, s, 64).Grants); n != 2 {
					t.Errorf("2 have ended, and %d start", n)
				}
				if v := c.rdb.HGet(context.Background(), c.keys.prefix+"q:q", "counted").Val(); v != "0" {
					t.Errorf("counted is %q", v)
				}
			})
		})
	}
}

// A key without work keeps no state once its bucket is full.
func TestKeyStateGoes(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		newQueue(t, c, "q", "", byKey(KeySpec{Rates: rates(t, "1/10s"), Weight: 1}, nil))
		var keys []string
		for i := range 40 {
			keys = append(keys, fmt.Sprint("k", i))
		}
		submitKeys(t, c, "q", 1, keys...)
		s := newWorker(t, c, "w")
		var out []Outcome
		for _, g := range claimN(t, s, 64).Grants {
			out = append(out, report(g, Done, 0, ""))
		}
		settle(t, s, out...)
		checkInvariants(t, c)
		forward(t, c, 11*time.Second)
		tick(t, s)
		if n := c.rdb.HLen(context.Background(), c.keys.prefix+"keys:q").Val(); n != 0 || len(out) != 40 {
			t.Errorf("%d states of keys are left of %d", n, len(out))
		}
		checkInvariants(t, c)
	})
}

// The default rate of keys changes for blocked keys too, and accrues from the change on.
func TestKeyRateChanges(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		newQueue(t, c, "q", "", byKey(KeySpec{Rates: rates(t, "1/1h"), Weight: 1}, nil))
		var keys []string
		for i := range 150 {
			keys = append(keys, fmt.Sprint("k", i))
		}
		submitKeys(t, c, "q", 5, keys...)
		s := newWorker(t, c, "w")
		drain := func() int {
			total := 0
			for {
				g := claimN(t, s, 128).Grants
				var out []Outcome
				for _, x := range g {
					out = append(out, report(x, Done, 0, ""))
				}
				if len(out) == 0 && total >= 0 {
					if q := statusOf(t, c, "q"); q.BlockedBy == "keys" {
						return total
					}
				}
				settle(t, s, out...)
				total += len(out)
			}
		}
		if n := drain(); n != 150 {
			t.Fatalf("%d", n)
		}
		forward(t, c, 30*time.Minute)
		fast := &KeySpec{Rates: rates(t, "1/1m:3"), Weight: 1}
		if err := c.UpdateQueue(ctx, "q", QueueChange{Key: &fast}); err != nil {
			t.Fatal(err)
		}
		if n := drain(); n != 0 {
			t.Errorf("%d grants at once after the change", n)
		}
		checkInvariants(t, c)
		forward(t, c, time.Minute)
		if n := drain(); n != 150 {
			t.Errorf("%d grants a minute after it", n)
		}
		checkInvariants(t, c)
		var none *KeySpec
		if err := c.UpdateQueue(ctx, "q", QueueChange{Key: &none}); !errors.Is(err, ErrConflict) {
			t.Errorf("%v", err)
		}
		if n, err := c.Purge(ctx, "q"); err != nil || n != 450 {
			t.Errorf("purged %d, %v", n, err)
		}
		checkInvariants(t, c)
		if err := c.RemoveQueue(ctx, "q", true); err != nil {
			t.Error(err)
		}
		for _, key := range c.rdb.Keys(ctx, "*").Val() {
			for _, part := range []string{"lane", "key"} {
				if len(key) > 9 && key[7:7+len(part)] == part {
					t.Errorf("left behind: %s", key)
				}
			}
		}
	})
}

// Given back, retried, cancelled and scheduled tasks stay with their key, in its order.
func TestKeysKeepTheirOrder(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		newQueue(t, c, "q", "", byKey(KeySpec{Concurrency: 2, Weight: 1}, nil))
		submitKeys(t, c, "q", 4, "a", "b")
		if _, err := c.Submit(ctx, SubmitRequest{Queue: "q", Key: "a", In: time.Minute}); err != nil {
			t.Fatal(err)
		}
		s := newWorker(t, c, "w")
		first := claimN(t, s, 64).Grants
		if n := keysOf(first); n["a"] != 2 || n["b"] != 2 {
			t.Fatalf("%v", n)
		}
		// back in the order in which they were, whatever order they come back in
		settle(t, s, report(first[3], GiveBack, 1, ""))
		settle(t, s, report(first[0], GiveBack, 1, ""), report(first[1], Throttled, 0, ""), report(first[2], Failed, 0, "x"))
		checkInvariants(t, c)
		again := claimN(t, s, 64).Grants
		order := func(list []Grant) map[string][]string {
			ids := make(map[string][]string)
			for _, g := range list {
				ids[g.Key] = append(ids[g.Key], g.ID)
			}
			return ids
		}
		before, after := order(first), order(again)
		for key := range before {
			failed := 0
			for _, id := range before[key] {
				if id == first[2].ID {
					failed++
					continue
				}
				if len(after[key]) <= 0 || after[key][0] != id && failed == 0 {
					t.Errorf("key %s: %v, then %v", key, before[key], after[key])
				}
				break
			}
		}
		forward(t, c, 2*time.Minute)
		waiting, err := c.Tasks(ctx, "q", "waiting", 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range waiting {
			if _, err := c.Cancel(ctx, task.ID); err != nil {
				t.Errorf("%s: %v", task.ID, err)
			}
		}
		checkInvariants(t, c)
		var out []Outcome
		for _, g := range again {
			out = append(out, report(g, Done, 0, ""))
		}
		settle(t, s, out...)
		for range 5 {
			g := claimN(t, s, 64).Grants
			out = nil
			for _, x := range g {
				out = append(out, report(x, Done, 0, ""))
			}
			settle(t, s, out...)
		}
		checkInvariants(t, c)
		if q := statusOf(t, c, "q"); q.Waiting+q.Scheduled+q.Running != 0 {
			t.Errorf("%+v", q)
		}
	})
}

// A key with a hundred times the work of each other delays none of them.
func TestBusyKeyDelaysNobody(t *testing.T) {
	// p95 is after how many grants the last task of a key starts, for all keys but 5 of 100.
	p95 := func(t *testing.T, c *Client, queue string, extra int) int {
		newQueue(t, c, queue, "2000/1s:10", byKey(KeySpec{Weight: 1}, nil), func(s *QueueSpec) { s.Paused = true })
		const each = 5
		submitKeys(t, c, queue, each*(1+extra), "k0")
		var keys []string
		for i := range 999 {
			keys = append(keys, fmt.Sprint("k", i+1))
		}
		submitKeys(t, c, queue, each, keys...)
		if err := c.Resume(context.Background(), queue); err != nil {
			t.Fatal(err)
		}
		s := newWorker(t, c, "w-"+queue)
		granted, last := 0, make(map[string]int)
		for left := 999 * each; left > 0; {
			var out []Outcome
			for _, g := range claimN(t, s, 128).Grants {
				granted++
				if g.Key != "k0" {
					left--
					last[g.Key] = granted
				}
				out = append(out, report(g, Done, 0, ""))
			}
			settle(t, s, out...)
			forward(t, c, 40*time.Millisecond)
		}
		waits := slices.Sorted(maps.Values(last))
		if err := c.RemoveQueue(context.Background(), queue, true); err != nil {
			t.Fatal(err)
		}
		return waits[len(waits)*95/100]
	}
	onBoth(t, func(t *testing.T, c *Client) {
		even, busy := p95(t, c, "even", 0), p95(t, c, "busy", 99)
		if float64(busy) > 1.2*float64(even) {
			t.Errorf("the others wait for %d grants beside a busy key, for %d without it", busy, even)
		}
	})
}
