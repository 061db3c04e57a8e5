package scheduler

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/tests/redistest"
)

// The tests that docs/defects.md names and that fit no other file: each fails where a
// defect of celery-throttle would be here.

// A bucket does not expire, so idling for an hour gives no token at 1/2h.
func TestBucketOutlivesAnIdleHour(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		newQueue(t, c, "q", "1/2h")
		s := newWorker(t, c, "w")
		submitN(t, c, "q", 3)
		g := claimN(t, s, 8).Grants
		if len(g) != 1 {
			t.Fatalf("%d grants of a full bucket", len(g))
		}
		settle(t, s, report(g[0], Done, 0, ""))
		keys, err := c.rdb.Keys(ctx, "*").Result()
		if err != nil || len(keys) < 5 {
			t.Fatal(keys, err)
		}
		for _, k := range keys {
			if ttl := c.rdb.TTL(ctx, k).Val(); ttl != -1 {
				t.Errorf("%s expires in %v", k, ttl)
			}
		}
		forward(t, c, time.Hour)
		if n := len(claimN(t, s, 8).Grants); n != 0 {
			t.Errorf("%d grants after an hour", n)
		}
		if r, err := c.RateStatus(ctx, "q"); err != nil || math.Abs(r.Tokens-0.5) > 0.01 || r.NextTokenIn > time.Hour || r.NextTokenIn < 59*time.Minute {
			t.Errorf("after an hour: %+v %v", r, err)
		}
		forward(t, c, time.Hour)
		if n := len(claimN(t, s, 8).Grants); n != 1 {
			t.Errorf("%d grants after two hours", n)
		}
	})
}

// The new rate counts from the change on, not from the last token taken.
func TestRateChangeIsNotRetroactive(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		newQueue(t, c, "q", "1/1h:10")
		submitN(t, c, "q", 40)
		s := newWorker(t, c, "w")
		if n := len(claimN(t, s, 10).Grants); n != 10 {
			t.Fatalf("%d grants of a full bucket", n)
		}
		forward(t, c, 30*time.Minute) // half a token
		before, err := c.Now(ctx)
		if err != nil {
			t.Fatal(err)
		}
		fast := rate(t, "600/1m:10") // 18,000 tokens for the half hour
		if err := c.UpdateQueue(ctx, "q", QueueChange{Rates: &ratelimit.Rates{fast}}); err != nil {
			t.Fatal(err)
		}
		q := statusOf(t, c, "q")
		if since := q.At.Sub(before).Seconds() * 10; q.Tokens > since {
			t.Errorf("%v tokens after the change, of which %v came since", q.Tokens, since)
		}
		for _, x := range claimN(t, s, 32).Grants {
			if x.GrantedAt.Before(before.Add(100 * time.Millisecond)) {
				t.Errorf("a token was there %s after the change", x.GrantedAt.Sub(before))
			}
		}
	})
}

// Numbers of a bucket are not rounded: the fraction that is missing is the wait.
func TestTokensAndTheNextOneAgree(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		fractions := 0
		s := newWorker(t, c, "w")
		for i, text := range []string{"7/1m:3", "1/3s", "10/7s:2", "3/1h:5", "40/1s:2"} {
			name := fmt.Sprintf("q%d", i)
			newQueue(t, c, name, text)
			submitN(t, c, name, 1)
			g := claimN(t, s, 1).Grants
			if len(g) != 1 {
				t.Fatalf("%d grants", len(g))
			}
			settle(t, s, report(g[0], Done, 0, ""))
			r := rate(t, text)
			forward(t, c, r.Period/time.Duration(r.N)/3)
			got, err := c.RateStatus(ctx, name)
			if err != nil {
				t.Fatal(err)
			}
			whole, part := math.Modf(got.Tokens)
			if int64(whole) == r.Burst {
				continue // full again, on a slow machine
			}
			fractions++
			wait := (1 - part) * r.Period.Seconds() / float64(r.N)
			if off := math.Abs(got.NextTokenIn.Seconds() - wait); part < 0.3 || off > 3e-6 {
				t.Errorf("%s: %v tokens, so the next is %v s away; said are %v", text, got.Tokens, wait, got.NextTokenIn)
			}
		}
		if fractions < 3 {
			t.Errorf("only %d buckets were seen between two tokens", fractions)
		}
	})
}

// Updates at once, each of another setting, all hold: none writes back what it has read.
func TestUpdatesAtOnceDoNotUndoEachOther(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		newQueue(t, c, "q", "1/1h")
		for round := range 25 {
			n := round + 1
			fast := ratelimit.Rate{N: int64(n), Period: time.Minute, Burst: 3}
			timeout, longest, expire := time.Duration(n)*time.Second, time.Duration(n)*time.Hour, time.Duration(n)*time.Minute
			attempts, history, length, jitter := n, 10*n, 100*n, float64(n)/100
			changes := []QueueChange{
				{Rates: &ratelimit.Rates{fast}}, {Timeout: &timeout}, {RetryMax: &longest}, {ExpireAfter: &expire},
				{MaxAttempts: &attempts}, {History: &history}, {MaxLength: &length}, {Jitter: &jitter},
			}
			start := make(chan struct{})
			var wg sync.WaitGroup
			for _, ch := range changes {
				wg.Go(func() {
					<-start
					if err := c.UpdateQueue(ctx, "q", ch); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Go(func() {
				<-start
				if err := c.hold(ctx, "q", n%2 == 1); err != nil {
					t.Error(err)
				}
			})
			close(start)
			wg.Wait()
			want := DefaultQueue("echo")
			want.Rates, want.Timeout, want.ExpireAfter, want.History, want.MaxLength, want.Paused = ratelimit.Rates{fast}, timeout, expire, history, length, n%2 == 1
			want.Retry = Retry{MaxAttempts: attempts, Min: time.Second, Max: longest, Jitter: jitter}
			if got := statusOf(t, c, "q").QueueSpec; !got.Equal(want) {
				t.Fatalf("round %d:\ngot  %+v\nwant %+v", n, got, want)
			}
		}
	})
}

// A name that exists is refused, and nothing of its queue changes: settings, counters,
// bucket, pause, tasks.
func TestCreateAgainChangesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		newQueue(t, c, "q", "2/1h:3")
		submitN(t, c, "q", 6)
		s := newWorker(t, c, "w")
		g := claimN(t, s, 3).Grants
		settle(t, s, report(g[0], Done, 0, ""), report(g[1], Dead, 0, "no"))
		if err := c.Pause(ctx, "q"); err != nil {
			t.Fatal(err)
		}
		key := c.keys.prefix + "q:q"
		before := c.rdb.HGetAll(ctx, key).Val()
		if len(before) < 20 {
			t.Fatalf("the queue's record is %v", before)
		}
		for _, spec := range []QueueSpec{DefaultQueue("echo"), DefaultQueue("other"), {Handler: "echo", Pool: "far", LimitSpec: LimitSpec{Rates: rates(t, "9/1s:9")}, Timeout: time.Minute, Retry: Retry{1, time.Second, time.Second, 0}}} {
			if _, err := c.CreateQueue(ctx, "q", spec); !errors.Is(err, ErrQueueExists) {
				t.Errorf("created again: %v", err)
			}
		}
		if after := c.rdb.HGetAll(ctx, key).Val(); !maps.Equal(before, after) {
			t.Errorf("before %v\nafter  %v", before, after)
		}
		if q := statusOf(t, c, "q"); !q.Paused || q.Waiting != 3 || q.Running != 1 || q.Dead != 1 || q.Completed != 1 || q.Tokens >= 1 {
			t.Errorf("%+v", q)
		}
		checkInvariants(t, c)
	})
}

// A task's record that cannot be read is that task's own matter: its queue and the others
// go on.
func TestDamagedTaskHoldsNobodyUp(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		newQueue(t, c, "bad", "")
		newQueue(t, c, "good", "")
		first := submitN(t, c, "bad", 2)
		submitN(t, c, "good", 2)
		if err := c.rdb.HSet(ctx, c.keys.prefix+"tasks:bad", first[0].ID, "p9:{").Err(); err != nil {
			t.Fatal(err)
		}
		s := newWorker(t, c, "w")
		var out []Outcome
		damaged := 0
		for _, x := range claimN(t, s, 8).Grants {
			if x.Damaged != nil { // as the worker does
				damaged++
				out = append(out, report(x, Dead, 0, x.Damaged.Error()))
				continue
			}
			out = append(out, report(x, Done, 0, ""))
		}
		if len(out) != 4 || damaged != 1 {
			t.Fatalf("%d grants, %d of them damaged", len(out), damaged)
		}
		settle(t, s, out...)
		queues, err := c.Queues(ctx)
		if err != nil || len(queues) != 2 || queues[0].Dead != 1 || queues[0].Completed != 1 || queues[1].Completed != 2 {
			t.Errorf("%+v %v", queues, err)
		}
		checkInvariants(t, c)
	})
}

// A record whose field is longer than any number can say, where Lua would begin anew for ever.
func TestDamagedLengthEnds(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		newQueue(t, c, "q", "")
		if _, err := c.Submit(ctx, SubmitRequest{Queue: "q", Cost: 2}); err != nil { // so that costs are looked for
			t.Fatal(err)
		}
		bad := submitN(t, c, "q", 1)[0].ID
		if err := c.rdb.HSet(ctx, c.keys.prefix+"tasks:q", bad, "k99999999999999999999:x\n").Err(); err != nil {
			t.Fatal(err)
		}
		s := newWorker(t, c, "w")
		g := claimN(t, s, 2).Grants
		if len(g) != 2 || g[0].Damaged != nil || g[1].Damaged == nil {
			t.Fatalf("%+v", g)
		}
		settle(t, s, report(g[0], Done, 0, ""), report(g[1], Dead, 0, g[1].Damaged.Error()))
		if q := statusOf(t, c, "q"); q.Completed != 1 || q.Dead != 1 {
			t.Errorf("%+v", q)
		}
	})
}

// A setting that cannot be read is its queue's own matter, too: the other queues go on,
// and nothing of the damaged one is lost.
func TestDamagedSettingHoldsNobodyUp(t *testing.T) {
	onBoth(t, func(t *testing.T, base *Client) {
		ctx := context.Background()
		settings := append(DefaultQueue("echo").fields(), "no", "", "index", "", "work", "", "held", "")
		for i := 0; i < len(settings); i += 2 {
			field := settings[i].(string)
			t.Run(field, func(t *testing.T) {
				c, err := New(base.rdb, Options{Namespace: field})
				if err != nil {
					t.Fatal(err)
				}
				for _, name := range []string{"bad", "good"} {
					newQueue(t, c, name, "1000/1s:1000")
					submitN(t, c, name, 6)
				}
				s := newWorker(t, c, "w")
				first := claimN(t, s, 4).Grants
				if err := c.rdb.HSet(ctx, c.keys.prefix+"q:bad", field, "{").Err(); err != nil {
					t.Fatal(err)
				}
				for _, grants := range [][]Grant{first, claimN(t, s, 16).Grants} {
					var out []Outcome
					for _, x := range grants {
						kind := Done
						if x.Queue == "bad" {
							kind = Failed
						}
						out = append(out, report(x, kind, 0, "boom"))
					}
					if n := settle(t, s, out...); n != 0 {
						t.Errorf("%d outcomes did not count", n)
					}
				}
				tick(t, s)
				queues, err := c.Queues(ctx)
				if err != nil || len(queues) != 2 {
					t.Fatal(queues, err)
				}
				bad, good := queues[0], queues[1]
				if good.Completed != 6 || good.Running != 0 {
					t.Errorf("good: %+v", good)
				}
				if bad.Waiting+bad.Scheduled+bad.Dead != 6 || bad.Running != 0 {
					t.Errorf("bad: %+v", bad)
				}
			})
		}
	})
}

// A rate that cannot be read is not the lack of one: nothing starts until it is set again.
func TestDamagedRateStartsNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		newQueue(t, c, "q", "1/1h:3")
		submitN(t, c, "q", 6)
		if err := c.rdb.HSet(ctx, c.keys.prefix+"q:q", "rate", "1/1h:3").Err(); err != nil {
			t.Fatal(err)
		}
		s := newWorker(t, c, "w")
		if n := len(claimN(t, s, 8).Grants); n != 0 {
			t.Errorf("%d grants without a rate that can be read", n)
		}
		if q := statusOf(t, c, "q"); q.Held != "damaged" || q.BlockedBy != "damaged" || q.Waiting != 6 {
			t.Errorf("%+v", q)
		}
		if h, err := c.Health(ctx); err != nil || h.Status != Unhealthy || !strings.Contains(h.Reasons[0], `the rate of queue "q" cannot be read`) {
			t.Errorf("%+v %v", h, err)
		}
		if r, err := c.Submit(ctx, SubmitRequest{Queue: "q"}); err != nil || !r.EarliestStart.IsZero() {
			t.Errorf("%+v %v", r, err)
		}
		set := rate(t, "1/1h:2")
		if err := c.UpdateQueue(ctx, "q", QueueChange{Rates: &ratelimit.Rates{set}}); err != nil {
			t.Fatal(err)
		}
		if n := len(claimN(t, s, 8).Grants); n != 2 {
			t.Errorf("%d grants at 1/1h:2", n)
		}
		checkInvariants(t, c)
	})
}

// life has a queue go through all that a queue and a worker can do, and removes it.
func life(t *testing.T, c *Client) {
	t.Helper()
	ctx := context.Background()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.WaitReady(ctx))
	newQueue(t, c, "ann-mail", "1000/1s:100")
	_, err := c.Warnings(ctx)
	must(err)
	s := newWorker(t, c, "w")
	woken := make(chan struct{}, 16)
	listening, stop := context.WithCancel(ctx)
	defer stop()
	must(s.Listen(listening, func(Signal) { woken <- struct{}{} }))
	claimN(t, s, 8)
	submitN(t, c, "ann-mail", 300)
	select {
	case <-woken:
	case <-time.After(5 * time.Second):
		t.Error("the worker was not woken")
	}
	_, err = c.Submit(ctx, SubmitRequest{Queue: "ann-mail", ID: "own", In: time.Hour, Headers: map[string]string{"a": "b"}})
	must(err)
	g := claimN(t, s, 8).Grants
	if len(g) != 8 {
		t.Fatalf("%d grants", len(g))
	}
	var out []Outcome
	for i, kind := range []string{Done, Failed, Dead, RetryIn, Throttled, GiveBack, Crashed} {
		out = append(out, report(g[i], kind, 3, "x"))
	}
	if n := settle(t, s, out...); n != 0 {
		t.Errorf("%d stale", n)
	}
	tick(t, s)
	fast := rate(t, "2000/1s:9")
	must(c.UpdateQueue(ctx, "ann-mail", QueueChange{Rates: &ratelimit.Rates{fast}}))
	for _, state := range States {
		_, err := c.Tasks(ctx, "ann-mail", state, 300)
		must(err)
	}
	_, err = c.Cancel(ctx, g[7].ID)
	must(err)
	_, err = c.RetryTask(ctx, g[2].ID)
	must(err)
	queues, err := c.Queues(ctx)
	if err != nil || len(queues) != 1 || queues[0].Completed != 1 || queues[0].Running != 1 {
		t.Errorf("list: %+v %v", queues, err)
	}
	if h, err := c.Health(ctx); err != nil || h.Workers != 1 {
		t.Errorf("%+v %v", h, err)
	}
	must(c.Apply(ctx, Declaration{Owner: "o", Queues: map[string]QueueSpec{"file": DefaultQueue("echo")}}))
	checkInvariants(t, c)
	must(s.Leave(ctx))
	_, err = c.Purge(ctx, "ann-mail")
	must(err)
	must(c.RemoveQueue(ctx, "ann-mail", true))
	checkInvariants(t, c)

	l, err := ratelimit.NewLimiter(c.rdb, ratelimit.Options{Namespace: c.namespace})
	must(err)
	must(l.Set(ctx, "api", ratelimit.Rate{N: 1, Period: time.Hour, Burst: 2}))
	if d, err := l.Take(ctx, "api", 2); err != nil || !d.Granted {
		t.Errorf("%+v %v", d, err)
	}
	must(l.Remove(ctx, "api"))
}

// Every kind of connection will do, and every key of a namespace has its one hash tag,
// so that Redis Cluster keeps them together and takes every script and command.
func TestEveryKindOfConnection(t *testing.T) {
	options := func(t *testing.T) redis.Options {
		given := redistest.Start(t).Client()
		defer given.Close()
		return redis.Options{Network: "unix", Addr: given.Options().Addr, MaxRetries: -1}
	}
	for name, dial := range map[string]func(t *testing.T) redis.UniversalClient{
		"RESP2": func(t *testing.T) redis.UniversalClient {
			o := options(t)
			o.Protocol = 2
			return redis.NewClient(&o)
		},
		"RESP3": func(t *testing.T) redis.UniversalClient {
			o := options(t)
			o.Protocol = 3
			return redis.NewClient(&o)
		},
		"another database": func(t *testing.T) redis.UniversalClient {
			o := options(t)
			o.DB = 7
			return redis.NewClient(&o)
		},
		"one connection": func(t *testing.T) redis.UniversalClient {
			o := options(t)
			o.PoolSize, o.DisableIdentity = 1, true
			return redis.NewClient(&o)
		},
		"cluster": clusterClient,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rdb := dial(t)
			t.Cleanup(func() { rdb.Close() })
			c, err := New(rdb, Options{Namespace: "test"})
			if err != nil {
				t.Fatal(err)
			}
			life(t, c)
			keys, err := rdb.Keys(context.Background(), "*").Result()
			if err != nil || len(keys) < 5 {
				t.Fatal(keys, err)
			}
			for _, k := range keys {
				if !strings.HasPrefix(k, "{test}:") {
					t.Errorf("key %q has not the tag of the namespace", k)
				}
			}
		})
	}
}

// clusterClient is on a server in cluster mode, which refuses what crosses slots.
func clusterClient(t *testing.T) redis.UniversalClient {
	ctx := context.Background()
	srv := redistest.Start(t, redistest.WithCluster())
	node := srv.Client()
	defer node.Close()
	for from := 0; from < 16384; from += 1024 {
		slots := make([]int, 1024)
		for i := range slots {
			slots[i] = from + i
		}
		if err := node.ClusterAddSlots(ctx, slots...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(node.ClusterInfo(ctx).Val(), "cluster_state:ok"); {
		if time.Now().After(deadline) {
			t.Fatal("the cluster does not come up")
		}
		time.Sleep(3 * time.Millisecond) // between two looks
	}
	rdb := redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: []string{srv.Addr()}, MaxRetries: -1,
	})
	if err := rdb.MGet(ctx, "{a}", "{b}").Err(); err == nil {
		t.Fatal("this server takes what crosses slots")
	}
	return rdb
}

// The empty namespace is the default one, and a queue that is removed leaves nothing
// behind, its bucket neither: made anew it is a new queue.
func TestRemovedQueueLeavesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, base *Client) {
		ctx := context.Background()
		c, err := New(base.rdb, Options{})
		if err != nil || c.Namespace() != DefaultNamespace {
			t.Fatalf("namespace %q, %v", c.Namespace(), err)
		}
		life(t, c)
		keys, err := c.rdb.Keys(ctx, "*").Result()
		if err != nil || len(keys) < 3 {
			t.Fatal(keys, err)
		}
		for _, k := range keys {
			if k == c.keys.edits() {
				continue // the log of what was done by hand
			}
			if !strings.HasPrefix(k, "{throttle}:") || strings.Contains(k+content(t, c, k), "ann-mail") {
				t.Errorf("left behind: %s with %s", k, content(t, c, k))
			}
		}
		newQueue(t, c, "ann-mail", "1/1h:4")
		q := statusOf(t, c, "ann-mail")
		if q.Tokens != 4 || q.Completed+q.Failed+q.Dead+q.TokensSpent != 0 {
			t.Errorf("made anew: %+v", q)
		}
		if _, err := c.Submit(ctx, SubmitRequest{Queue: "ann-mail", ID: "own"}); err != nil {
			t.Errorf("an id of the removed queue is not free: %v", err)
		}
	})
}

// content is all that a key holds.
func content(t *testing.T, c *Client, key string) string {
	t.Helper()
	ctx := context.Background()
	var v any
	var err error
	switch kind := c.rdb.Type(ctx, key).Val(); kind {
	case "hash":
		v, err = c.rdb.HGetAll(ctx, key).Result()
	case "set":
		v, err = c.rdb.SMembers(ctx, key).Result()
	case "zset":
		v, err = c.rdb.ZRange(ctx, key, 0, -1).Result()
	case "list":
		v, err = c.rdb.LRange(ctx, key, 0, -1).Result()
	case "string":
		v, err = c.rdb.Get(ctx, key).Result()
	default:
		t.Fatalf("%s is a %s", key, kind)
	}
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(v)
}

// A batch for a queue that is missing is an error, and puts nothing anywhere.
func TestMissingQueueTakesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		newQueue(t, c, "emails", "1/1h")
		keys := func() []string {
			k := c.rdb.Keys(ctx, "*").Val()
			slices.Sort(k)
			return k
		}
		before := keys()
		for _, n := range []int{1, 2, 700} {
			receipts, err := c.SubmitMany(ctx, "emials", make([]SubmitRequest, n))
			var missing *NotFoundError
			if !errors.As(err, &missing) || missing.Name != "emials" || missing.Nearest != "emails" || len(receipts) != 0 {
				t.Errorf("%d tasks: %d receipts, %v", n, len(receipts), err)
			}
		}
		if after := keys(); !slices.Equal(before, after) {
			t.Errorf("keys before %v, after %v", before, after)
		}
	})
}
