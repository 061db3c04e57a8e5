package scheduler

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
)

// forward moves engine time on, as the scripts see it.
func forward(t *testing.T, c *Client, by time.Duration) {
	t.Helper()
	if err := c.rdb.HIncrBy(context.Background(), c.keys.clock(), "off", by.Microseconds()).Err(); err != nil {
		t.Fatal(err)
	}
}

func newLimit(t *testing.T, c *Client, name, r string, concurrency int) {
	t.Helper()
	rs := rates(t, r)
	if _, err := c.SetLimit(context.Background(), name, LimitChange{Rates: &rs, Concurrency: &concurrency}); err != nil {
		t.Fatal(err)
	}
}

func under(limits ...string) func(*QueueSpec) {
	return func(s *QueueSpec) { s.Limits = limits }
}

func limitOf(t *testing.T, c *Client, name string) Limit {
	t.Helper()
	l, err := c.Limit(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// byQueue counts grants.
func byQueue(grants []Grant) map[string]int {
	n := make(map[string]int)
	for _, g := range grants {
		n[g.Queue]++
	}
	return n
}

// All rates of one queue hold at once, and the one that binds tells the next instant.
func TestSeveralRatesOfOneQueue(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		newQueue(t, c, "q", "5/1h:5, 1/10s:2")
		submitN(t, c, "q", 20)
		s := newWorker(t, c, "w")
		total := 0
		for _, want := range []int{2, 1, 1, 1, 0} {
			g := claimN(t, s, 20)
			if len(g.Grants) != want {
				t.Fatalf("after %d grants: %d more, want %d", total, len(g.Grants), want)
			}
			total += len(g.Grants)
			forward(t, c, 10*time.Second)
			checkInvariants(t, c)
		}
		q := statusOf(t, c, "q")
		if q.BlockedBy != "rate" || q.Binding == nil || q.Binding.Limit != "queue" || q.NextToken.Sub(q.At) < 11*time.Minute {
			t.Errorf("%+v %+v", q, q.Binding)
		}
	})
}

// A limit's tokens go round among the queues that name it, one turn each.
func TestSharedLimitTakesTurns(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		newLimit(t, c, "api", "10/1s:10", 0)
		for i := range 4 {
			newQueue(t, c, fmt.Sprint("q", i), "", under("api"))
			submitN(t, c, fmt.Sprint("q", i), 100)
		}
		s := newWorker(t, c, "w")
		got := make(map[string]int)
		for range 9 {
			for q, n := range byQueue(claimN(t, s, 64).Grants) {
				got[q] += n
			}
			forward(t, c, time.Second)
			checkInvariants(t, c)
		}
		sum := 0
		for i := range 4 {
			n := got[fmt.Sprint("q", i)]
			sum += n
			if n < 22 || n > 24 {
				t.Errorf("shares %v", got)
			}
		}
		if sum < 90 || sum > 94 {
			t.Errorf("%d grants in 8 s at 10/1s:10", sum)
		}
		l := limitOf(t, c, "api")
		if l.Spent != int64(sum) || l.Running != int64(sum) || len(l.Queues) != 4 {
			t.Errorf("%+v", l)
		}
		// nothing waits for others at a limit that is exhausted
		if q := statusOf(t, c, "q0"); q.BlockedBy != `limit "api"` {
			t.Logf("%+v %+v", q.BlockedBy, q.Binding)
		}
	})
}

// A task is granted when all limits of its set have room, and debits all of them.
func TestSetIsAllOrNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		newLimit(t, c, "slow", "1/1h:3", 0)
		newLimit(t, c, "fast", "1/1m:2", 0)
		newQueue(t, c, "q", "1/1s:10", under("slow", "fast"))
		submitN(t, c, "q", 20)
		s := newWorker(t, c, "w")
		if n := len(claimN(t, s, 20).Grants); n != 2 {
			t.Fatalf("%d grants", n)
		}
		for name, spent := range map[string]int64{"slow": 2, "fast": 2} {
			if l := limitOf(t, c, name); l.Spent != spent || l.Tokens >= 1.5 {
				t.Errorf("%s: %+v", name, l)
			}
		}
		checkInvariants(t, c)
		forward(t, c, time.Minute)
		if n := len(claimN(t, s, 20).Grants); n != 1 {
			t.Errorf("%d grants a minute later", n)
		}
		forward(t, c, time.Minute)
		if n := len(claimN(t, s, 20).Grants); n != 0 {
			t.Errorf("%d grants beyond the slow limit", n)
		}
		if l := limitOf(t, c, "fast"); l.Spent != 3 {
			t.Errorf("a denied task has taken from the fast limit: %+v", l)
		}
		if q := statusOf(t, c, "q"); q.BlockedBy != `limit "slow"` || q.Binding.Need != 1 || q.Binding.Have != 0 {
			t.Errorf("%q %+v", q.BlockedBy, q.Binding)
		}
		checkInvariants(t, c)
	})
}

// Places are counted over all queues of a limit, and given back by settles.
func TestConcurrencyCaps(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		newLimit(t, c, "api", "unlimited", 3)
		newQueue(t, c, "a", "", under("api"), func(s *QueueSpec) { s.Concurrency = 2 })
		newQueue(t, c, "b", "", under("api"))
		submitN(t, c, "a", 10)
		submitN(t, c, "b", 10)
		s := newWorker(t, c, "w")
		var held []Grant
		for round := range 10 {
			g := claimN(t, s, 20).Grants
			held = append(held, g...)
			n := byQueue(held)
			if len(held) != 3 && round < 6 || n["a"] > 2 {
				t.Fatalf("round %d: %v are held", round, n)
			}
			if l := limitOf(t, c, "api"); l.Running != int64(len(held)) {
				t.Fatalf("%d hold a place, the limit says %d", len(held), l.Running)
			}
			checkInvariants(t, c)
			if len(held) == 0 {
				break
			}
			settle(t, s, report(held[0], Done, 0, ""))
			held = held[1:]
		}
	})
}

// Each limit of a set takes what the task costs of it; 0 is not under it.
func TestCosts(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		newLimit(t, c, "calls", "1/1h:10", 0)
		newLimit(t, c, "words", "1000/1h:1000", 0)
		newQueue(t, c, "q", "1/1h:20", under("calls", "words"))
		submit := func(cost int64, costs map[string]int64) error {
			_, err := c.Submit(ctx, SubmitRequest{Queue: "q", Cost: cost, Costs: costs})
			return err
		}
		for i, x := range []struct {
			cost  int64
			costs map[string]int64
			ok    bool
		}{
			{3, nil, true}, {0, map[string]int64{"words": 700}, true}, {0, map[string]int64{"words": 400}, true},
			{0, map[string]int64{"words": 1001}, false}, {11, nil, false}, {0, map[string]int64{"other": 1}, false},
			{0, map[string]int64{"calls": 0, "queue": 0, "words": 1}, true}, {0, map[string]int64{"queue": 21}, false},
			{-1, nil, false}, {0, map[string]int64{"key": 1}, false},
		} {
			err := submit(x.cost, x.costs)
			var invalid *InvalidError
			if (err == nil) != x.ok || err != nil && !errors.As(err, &invalid) {
				t.Errorf("%d: %v", i, err)
			}
		}
		s := newWorker(t, c, "w")
		g := claimN(t, s, 20).Grants
		if len(g) != 2 {
			t.Fatalf("%d grants", len(g)) // the third needs 400 words, 297 are left; the fourth is behind it
		}
		spent := func(calls, words, queue int64) {
			t.Helper()
			q := statusOf(t, c, "q")
			if a, b := limitOf(t, c, "calls").Spent, limitOf(t, c, "words").Spent; a != calls || b != words || q.TokensSpent != queue {
				t.Errorf("spent %d calls, %d words, %d of the queue", a, b, q.TokensSpent)
			}
		}
		spent(4, 703, 4)
		if q := statusOf(t, c, "q"); q.Binding == nil || q.Binding.Limit != `limit "words"` || q.Binding.Need != 400 || q.Binding.Have != 297 {
			t.Errorf("%+v", q.Binding)
		}
		checkInvariants(t, c)
		// what it really cost
		a, b := report(g[0], Done, 0, ""), report(g[1], Done, 0, "")
		b.Actual = map[string]int64{"words": 500}
		settle(t, s, a, b)
		if l := limitOf(t, c, "words"); l.Credited != 200 || l.Tokens < 497 || l.Tokens > 498 {
			t.Errorf("%+v", l)
		}
		g = claimN(t, s, 20).Grants
		if len(g) != 2 {
			t.Fatalf("%d grants after the credit", len(g))
		}
		spent(5, 1104, 5)
		over := report(g[0], Done, 0, "")
		over.Actual = map[string]int64{"words": 600}
		settle(t, s, over)
		if l := limitOf(t, c, "words"); l.Owed != 96 || l.Cut != 104 { // 96 are left, debt_max is 0
			t.Errorf("%+v", l)
		}
		checkInvariants(t, c)
	})
}

// Throttled freezes the limit that it names, and only that; a report lowers a bucket.
func TestUpstreamSpeaks(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		newLimit(t, c, "api", "100/1s:100", 0)
		newQueue(t, c, "a", "", under("api"))
		newQueue(t, c, "b", "", under("api"))
		newQueue(t, c, "other", "")
		for _, q := range []string{"a", "b", "other"} {
			submitN(t, c, q, 10)
		}
		s := newWorker(t, c, "w")
		g := claimN(t, s, 3).Grants
		for _, x := range g {
			o := report(x, GiveBack, 0, "")
			if x.Queue == "a" {
				o = report(x, Throttled, 3_000_000, "429")
				o.Limit = "api"
			}
			settle(t, s, o)
		}
		if l := limitOf(t, c, "api"); l.FrozenUntil.Sub(l.At) < 2*time.Second {
			t.Fatalf("not frozen: %+v", l)
		}
		got := byQueue(claimN(t, s, 64).Grants)
		if got["a"]+got["b"] != 0 || got["other"] != 10 {
			t.Errorf("while the limit is frozen: %v", got)
		}
		if q := statusOf(t, c, "b"); q.BlockedBy != `limit "api"` || q.Binding.Why != "frozen" {
			t.Errorf("%q %+v", q.BlockedBy, q.Binding)
		}
		checkInvariants(t, c)
		forward(t, c, 3*time.Second)
		g = claimN(t, s, 64).Grants
		if got := byQueue(g); got["a"] != 10 || got["b"] != 10 || g[0].Attempt != 1 {
			t.Errorf("after the freeze: %v", got)
		}
		o := report(g[0], Done, 0, "")
		o.Reports = []Report{{Limit: "api", Remaining: 7}}
		settle(t, s, o)
		if l := limitOf(t, c, "api"); l.Tokens < 7 || l.Tokens > 40 { // of 80; it gets one each 10 ms
			t.Errorf("lowered to %v", l.Tokens)
		}
		o = report(g[1], Done, 0, "")
		o.Reports = []Report{{Limit: "api", Remaining: 0, Reset: time.Minute}}
		settle(t, s, o)
		if l := limitOf(t, c, "api"); l.FrozenUntil.Sub(l.At) < 50*time.Second {
			t.Errorf("%+v", l)
		}
		if err := c.ResetLimit(ctx, "api", "me"); err != nil {
			t.Fatal(err)
		}
		if l := limitOf(t, c, "api"); !l.FrozenUntil.IsZero() || l.Tokens != 100 || l.LastEdit == nil || l.LastEdit.By != "me" {
			t.Errorf("reset: %+v", l)
		}
	})
}

// A change of rates for a while reverts at its instant, exactly, by whoever looks next.
func TestRatesForAWhile(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		newLimit(t, c, "api", "1/1h:10", 0)
		newQueue(t, c, "a", "1/1h:100", under("api"))
		submitN(t, c, "a", 100)
		s := newWorker(t, c, "w")
		if n := len(claimN(t, s, 64).Grants); n != 10 {
			t.Fatalf("%d grants", n)
		}
		fast := rates(t, "1/1s:5")
		if _, err := c.SetLimit(ctx, "api", LimitChange{Rates: &fast, For: 10 * time.Second, By: "ann@host"}); err != nil {
			t.Fatal(err)
		}
		l := limitOf(t, c, "api")
		if l.Override == nil || l.Override.Base.String() != "1/1h:10" || l.Rates.String() != "1/1s:5" {
			t.Fatalf("%+v", l)
		}
		forward(t, c, 3*time.Second)
		if n := len(claimN(t, s, 64).Grants); n < 3 || n > 4 {
			t.Errorf("%d grants in 3 s", n)
		}
		forward(t, c, 30*time.Minute) // 7 s at 1/1s, then the old rate
		n := len(claimN(t, s, 64).Grants)
		if n < 5 || n > 6 {
			t.Errorf("%d grants, want the 5 that were saved up", n)
		}
		if l := limitOf(t, c, "api"); l.Override != nil || l.Rates.String() != "1/1h:10" {
			t.Errorf("%+v", l)
		}
		if err := c.UpdateQueue(ctx, "a", QueueChange{Rates: &fast, For: time.Minute}); err != nil {
			t.Fatal(err)
		}
		if q := statusOf(t, c, "a"); q.Override == nil || q.Rates.String() != "1/1s:5" {
			t.Errorf("%+v", q)
		}
		forward(t, c, 2*time.Minute)
		if q := statusOf(t, c, "a"); q.Override != nil || q.Rates.String() != "1/1h:100" {
			t.Errorf("%+v", q)
		}
		checkInvariants(t, c)
		edits, err := c.Edits(ctx, 10)
		if err != nil || len(edits) < 3 || edits[1].By != "ann@host" || edits[1].What != `limit "api": rate 1/1s:5 for 10s` {
			t.Errorf("%+v %v", edits, err)
		}
	})
}

// A limit in use is not removed, and one that is not there is not named.
func TestRemoveLimit(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		spec := DefaultQueue("echo")
		spec.Limits = []string{"api"}
		var unknown *NotFoundError
		if _, err := c.CreateQueue(ctx, "q", spec); !errors.As(err, &unknown) || unknown.Kind != "limit" {
			t.Fatalf("%v", err)
		}
		newLimit(t, c, "api", "1/1s", 0)
		newQueue(t, c, "q", "", under("api"))
		var used *ReferencedError
		if err := c.RemoveLimit(ctx, "api", ""); !errors.As(err, &used) || len(used.Queues) != 1 {
			t.Errorf("%v", err)
		}
		none := []string{}
		if err := c.UpdateQueue(ctx, "q", QueueChange{Limits: &none}); err != nil {
			t.Fatal(err)
		}
		if err := c.RemoveLimit(ctx, "api", ""); err != nil {
			t.Error(err)
		}
		if _, err := c.Limit(ctx, "api"); !errors.As(err, &unknown) {
			t.Errorf("%v", err)
		}
		checkInvariants(t, c)
	})
}

// While queues wait at a limit, a take has one turn like a queue; it is told when.
func TestTakeBesideQueues(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		newLimit(t, c, "api", "10/1s:2", 0)
		limiter, err := ratelimit.NewLimiter(c.rdb, ratelimit.Options{Namespace: c.namespace})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 4 {
			newQueue(t, c, fmt.Sprint("q", i), "", under("api"))
			submitN(t, c, fmt.Sprint("q", i), 200)
		}
		s := newWorker(t, c, "w")
		takes, grants := 0, 0
		for range 100 {
			grants += len(claimN(t, s, 64).Grants)
			d, err := limiter.Take(ctx, "api", 1)
			if err != nil {
				t.Fatal(err)
			}
			if d.Granted {
				takes++
			} else if d.Wait <= 0 {
				t.Fatalf("%+v", d)
			}
			forward(t, c, 100*time.Millisecond)
		}
		if takes < 15 || takes > 26 {
			t.Errorf("%d takes beside %d grants of four queues", takes, grants)
		}
		if takes+grants < 95 {
			t.Errorf("%d tokens of 100 went", takes+grants)
		}
	})
}

// The scripts keep limits in tables by name, beside nothing else: names that they use for
// fields are as good as any.
func TestAnyNameOfALimit(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		names := []string{"few", "full", "counts", "limits", "costs", "key_cost", "frozen", "b", "l", "n", "spent", "states"}
		s := newWorker(t, c, "w")
		for _, name := range names {
			newLimit(t, c, name, "100/1s:10", 5)
			newQueue(t, c, "of-"+name, "", under(name))
			submitN(t, c, "of-"+name, 4)
		}
		for round := range 4 { // the last one is for what was given back
			var out []Outcome
			for i, x := range claimN(t, s, 100).Grants {
				o := Outcome{Task: x.Internal, Fence: x.Fence, Kind: Done}
				switch {
				case round > 0:
				case i%3 == 0:
					o.Kind, o.Number = GiveBack, 1
				case i%3 == 1:
					o.Actual = map[string]int64{x.Queue[len("of-"):]: 0}
				}
				out = append(out, o)
			}
			if stale := settle(t, s, out...); stale > 0 {
				t.Errorf("round %d: %d are stale", round, stale)
			}
			checkInvariants(t, c)
		}
		for _, name := range names {
			if q := statusOf(t, c, "of-"+name); q.Completed != 4 || q.Running != 0 {
				t.Errorf("queue under limit %q: %+v", name, q)
			}
			if l, err := c.Limit(ctx, name); err != nil || l.Running != 0 {
				t.Errorf("limit %q: %d running, %v", name, l.Running, err)
			}
		}
	})
}
