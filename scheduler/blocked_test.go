package scheduler

import (
	"context"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/tests/redistest"
)

func onRedis(t *testing.T) *Client {
	t.Helper()
	rdb := redistest.Start(t).Client()
	t.Cleanup(func() { rdb.Close() })
	c, err := New(rdb, Options{Namespace: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func cost(queue string, costs map[string]int64) SubmitRequest {
	return SubmitRequest{Queue: queue, Payload: []byte("{}"), Costs: costs}
}

func mustSubmit(t *testing.T, c *Client, r SubmitRequest) Receipt {
	t.Helper()
	if r.Payload == nil {
		r.Payload = []byte("{}")
	}
	x, err := c.Submit(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// key b's token comes before key a's second one: the queue is placed at a's instant.
func TestEarlierKeyIsNotOverlooked(t *testing.T) {
	c := onRedis(t)
	newQueue(t, c, "q", "", byKey(KeySpec{Rates: rates(t, "1/1m"), Weight: 1}, nil))
	s := newWorker(t, c, "w")
	submitKeys(t, c, "q", 2, "b")
	if n := len(claimN(t, s, 64).Grants); n != 1 {
		t.Fatal(n)
	}
	forward(t, c, 50*time.Second)
	submitKeys(t, c, "q", 2, "a")
	g := claimN(t, s, 64)
	t.Logf("granted %v, next in %v", keysOf(g.Grants), g.Indexes[0].In)
	forward(t, c, 11*time.Second)
	g = claimN(t, s, 64)
	if n := keysOf(g.Grants)["b"]; n != 1 {
		t.Errorf("key b has a token and a task: granted %d; next in %v", n, g.Indexes[0].In)
	}
}

// the same with a scheduled task
func TestScheduledTaskOfAnotherKey(t *testing.T) {
	c := onRedis(t)
	newQueue(t, c, "q", "", byKey(KeySpec{Rates: rates(t, "1/1h"), Weight: 1}, nil))
	s := newWorker(t, c, "w")
	mustSubmit(t, c, SubmitRequest{Queue: "q", Key: "z", In: 10 * time.Second})
	submitKeys(t, c, "q", 2, "a")
	g := claimN(t, s, 64)
	t.Logf("granted %v, next in %v", keysOf(g.Grants), g.Indexes[0].In)
	forward(t, c, 11*time.Second)
	g = claimN(t, s, 64)
	if n := keysOf(g.Grants)["z"]; n != 1 {
		t.Errorf("key z's scheduled task: granted %d; next in %v", n, g.Indexes[0].In)
	}
}

func TestCostZeroIsNotUnderALimit(t *testing.T) {
	c := onRedis(t)
	newLimit(t, c, "g", "1/1h", 0)
	newQueue(t, c, "q", "", under("g"))
	s := newWorker(t, c, "w")
	submitN(t, c, "q", 1)
	g := claimN(t, s, 64)
	if len(g.Grants) != 1 {
		t.Fatal()
	}
	settle(t, s, report(g.Grants[0], Done, 0, ""))
	mustSubmit(t, c, cost("q", map[string]int64{"g": 0}))
	g = claimN(t, s, 64)
	if len(g.Grants) != 1 {
		t.Errorf("a task that is not under g waits for it: next in %v", g.Indexes[0].In)
	}
}

func TestCostZeroTakesNoPlace(t *testing.T) {
	c := onRedis(t)
	newLimit(t, c, "g", "1000/1s:1000", 1)
	newQueue(t, c, "q", "", under("g"))
	s := newWorker(t, c, "w")
	submitN(t, c, "q", 1)
	g := claimN(t, s, 64)
	if len(g.Grants) != 1 {
		t.Fatal()
	}
	mustSubmit(t, c, cost("q", map[string]int64{"g": 0}))
	g = claimN(t, s, 64)
	if len(g.Grants) != 1 {
		t.Errorf("a task that is not under g waits for its place")
	}
}

func TestCostZeroOfQueueAndKey(t *testing.T) {
	c := onRedis(t)
	newQueue(t, c, "q", "", func(s *QueueSpec) { s.Concurrency = 1 })
	newQueue(t, c, "k", "", byKey(KeySpec{Rates: rates(t, "1/1h"), Weight: 1}, nil))
	s := newWorker(t, c, "w")
	submitN(t, c, "q", 1)
	submitKeys(t, c, "k", 1, "a")
	g := claimN(t, s, 64)
	if len(g.Grants) != 2 {
		t.Fatal()
	}
	mustSubmit(t, c, cost("q", map[string]int64{"queue": 0}))
	r := cost("k", map[string]int64{"key": 0})
	r.Key = "a"
	mustSubmit(t, c, r)
	g = claimN(t, s, 64)
	if byQueue(g.Grants)["q"] != 1 {
		t.Errorf("a task that is not under its queue's cap waits for it")
	}
	if byQueue(g.Grants)["k"] != 1 {
		t.Errorf("a task that is not under its key's rate waits for it")
	}
}

// A blocked key comes back and is served alone until it has caught up.
func TestBlockedKeyCatchesUpOnNothing(t *testing.T) {
	c := onRedis(t)
	newQueue(t, c, "q", "", byKey(KeySpec{Weight: 1}, nil))
	s := newWorker(t, c, "w")
	submitKeys(t, c, "q", 800, "a", "b")
	g := claimN(t, s, 2)
	var out []Outcome
	for _, x := range g.Grants {
		if x.Key == "a" {
			o := report(x, Throttled, time.Hour.Microseconds(), "")
			o.Limit = "key"
			out = append(out, o)
		} else {
			out = append(out, report(x, Done, 0, ""))
		}
	}
	settle(t, s, out...)
	for range 6 {
		g = claimN(t, s, 100)
		t.Log(keysOf(g.Grants))
		out = nil
		for _, x := range g.Grants {
			out = append(out, report(x, Done, 0, ""))
		}
		settle(t, s, out...)
	}
	forward(t, c, time.Hour)
	got := map[string]int{}
	for range 4 {
		g = claimN(t, s, 50)
		out = nil
		for _, x := range g.Grants {
			got[x.Key]++
			out = append(out, report(x, Done, 0, ""))
		}
		settle(t, s, out...)
	}
	if got["b"] < 80 {
		t.Errorf("equal weights, both eligible: %v", got)
	}
}

// The head is cancelled: the queue stays at the instant of its cost.
func TestCancelOfADearHead(t *testing.T) {
	c := onRedis(t)
	newQueue(t, c, "q", "1/1m:100")
	s := newWorker(t, c, "w")
	submitN(t, c, "q", 100)
	if n := len(claimN(t, s, 128).Grants); n != 100 {
		t.Fatal(n)
	}
	r := mustSubmit(t, c, cost("q", map[string]int64{"queue": 100}))
	submitN(t, c, "q", 1)
	claimN(t, s, 64)
	if _, err := c.Cancel(context.Background(), r.ID); err != nil {
		t.Fatal(err)
	}
	forward(t, c, 2*time.Minute)
	g := claimN(t, s, 64)
	if len(g.Grants) != 1 {
		t.Errorf("a token is there, and a task for it; granted none; next in %v", g.Indexes[0].In)
	}
}

// The task that can never start is cancelled, and those behind it stay where they are.
func TestCancelOfWhatCannotStart(t *testing.T) {
	c := onRedis(t)
	ctx := context.Background()
	newQueue(t, c, "q", "10/1s:50")
	newQueue(t, c, "k", "", byKey(KeySpec{Rates: rates(t, "10/1s:50"), Weight: 1}, nil))
	s := newWorker(t, c, "w")
	a := mustSubmit(t, c, cost("q", map[string]int64{"queue": 50}))
	r := cost("k", map[string]int64{"key": 50})
	r.Key = "a"
	b := mustSubmit(t, c, r)
	x := rates(t, "10/1s:5")
	if err := c.UpdateQueue(ctx, "q", QueueChange{Rates: &x}); err != nil {
		t.Fatal(err)
	}
	k := &KeySpec{Rates: x, Weight: 1}
	if err := c.UpdateQueue(ctx, "k", QueueChange{Key: &k}); err != nil {
		t.Fatal(err)
	}
	submitN(t, c, "q", 3)
	submitKeys(t, c, "k", 3, "a")
	claimN(t, s, 64)
	for _, id := range []string{a.ID, b.ID} {
		if _, err := c.Cancel(ctx, id); err != nil {
			t.Fatal(err)
		}
	}
	got := map[string]int{}
	for range 100 {
		for _, g := range claimN(t, s, 64).Grants {
			got[g.Queue]++
			settle(t, s, report(g, Done, 0, ""))
		}
		tick(t, s)
		forward(t, c, 1500*time.Millisecond)
	}
	if got["q"] != 3 || got["k"] != 3 {
		t.Errorf("after the cancel of what could not start, in 150 s: %v of 3 each", got)
	}
	// a submit does not help
	submitN(t, c, "q", 1)
	submitKeys(t, c, "k", 1, "a")
	for range 20 {
		for _, g := range claimN(t, s, 64).Grants {
			got[g.Queue]++
		}
		tick(t, s)
		forward(t, c, 1500*time.Millisecond)
	}
	t.Logf("after one more submit each: %v", got)
}

// The first at a limit leaves; those behind it wait for its instant.
func TestFirstLeavesALimit(t *testing.T) {
	for _, how := range []string{"pause", "cancel", "purge", "remove", "relimit"} {
		t.Run(how, func(t *testing.T) {
			c := onRedis(t)
			ctx := context.Background()
			newLimit(t, c, "g", "1/1m:100", 0)
			for _, q := range []string{"a", "b", "x"} {
				newQueue(t, c, q, "", under("g"))
			}
			s := newWorker(t, c, "w")
			submitN(t, c, "x", 100)
			if n := len(claimN(t, s, 128).Grants); n != 100 {
				t.Fatal(n)
			}
			r := mustSubmit(t, c, cost("a", map[string]int64{"g": 100}))
			claimN(t, s, 64)
			submitN(t, c, "b", 1)
			forward(t, c, 61*time.Second)
			claimN(t, s, 64)
			var err error
			switch how {
			case "pause":
				err = c.Pause(ctx, "a")
			case "cancel":
				_, err = c.Cancel(ctx, r.ID)
			case "purge":
				_, err = c.Purge(ctx, "a")
			case "remove":
				err = c.RemoveQueue(ctx, "a", true)
			case "relimit":
				err = c.UpdateQueue(ctx, "a", QueueChange{Limits: &[]string{}})
			}
			if err != nil {
				t.Fatal(err)
			}
			forward(t, c, 2*time.Minute)
			g := claimN(t, s, 64)
			if byQueue(g.Grants)["b"] != 1 {
				t.Errorf("two tokens, b is first: granted %v; next in %v", byQueue(g.Grants), g.Indexes[0].In)
			}
		})
	}
}

// A head that can never start under a lowered burst stops every queue of the limit.
func TestWhatCannotStartHoldsNoQueueUp(t *testing.T) {
	c := onRedis(t)
	newLimit(t, c, "g", "10/1s:50", 0)
	newQueue(t, c, "a", "", under("g"))
	newQueue(t, c, "b", "", under("g"))
	s := newWorker(t, c, "w")
	mustSubmit(t, c, cost("a", map[string]int64{"g": 50}))
	newLimit(t, c, "g", "10/1s:10", 0)
	submitN(t, c, "b", 100)
	n := 0
	for range 20 {
		n += byQueue(claimN(t, s, 64).Grants)["b"]
		forward(t, c, time.Second)
	}
	if n == 0 {
		t.Errorf("b: no start in 20 s at 10/1s, because of a's task that cannot start; state of b: %q", statusOf(t, c, "b").BlockedBy)
	}
}

// a single unstartable key's task stops all keys
func TestWhatCannotStartHoldsNoKeyUp(t *testing.T) {
	c := onRedis(t)
	ctx := context.Background()
	newQueue(t, c, "q", "10/1s:10", byKey(KeySpec{Weight: 1}, nil))
	s := newWorker(t, c, "w")
	r := cost("q", map[string]int64{"queue": 10})
	r.Key = "dear"
	mustSubmit(t, c, r)
	x := rates(t, "10/1s:5")
	if err := c.UpdateQueue(ctx, "q", QueueChange{Rates: &x}); err != nil {
		t.Fatal(err)
	}
	submitKeys(t, c, "q", 20, "a", "b")
	n := 0
	for range 20 {
		n += len(claimN(t, s, 64).Grants)
		forward(t, c, time.Second)
	}
	if n < 40 {
		t.Errorf("keys a and b: %d of 40 start in 20 s; blocked by %q", n, statusOf(t, c, "q").BlockedBy)
	}
}

// A key's dear head (own limit lowered by an exception) blocks only itself: control
func TestWhatAnOverrideForbidsHoldsNobodyUp(t *testing.T) {
	c := onRedis(t)
	ctx := context.Background()
	newLimit(t, c, "g", "10/1s:50", 0)
	newQueue(t, c, "a", "", under("g"))
	newQueue(t, c, "b", "", under("g"))
	s := newWorker(t, c, "w")
	mustSubmit(t, c, cost("a", map[string]int64{"g": 50}))
	x := rates(t, "5/1s:5")
	if _, err := c.SetLimit(ctx, "g", LimitChange{Rates: &x, For: 2 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	submitN(t, c, "b", 1000)
	n := 0
	for range 70 {
		n += byQueue(claimN(t, s, 64).Grants)["b"]
		forward(t, c, time.Minute)
	}
	if n == 0 {
		t.Errorf("limit set --rate 5/1s:5 --for 2h: queue b has no start in 70 minutes")
	}
}

func TestWorkerOfOneQueueKeepsToTurns(t *testing.T) {
	c := onRedis(t)
	ctx := context.Background()
	newLimit(t, c, "g", "10/1s", 0)
	newQueue(t, c, "q1", "", under("g"))
	newQueue(t, c, "q2", "", under("g"))
	submitN(t, c, "q1", 300)
	submitN(t, c, "q2", 300)
	w := newWorker(t, c, "w")
	o, err := c.Register(ctx, Worker{ID: "only", Pools: []string{"default"}, Indexes: []string{"default:echo=q2"}, Slots: map[string]int{"echo": 64}, Lease: 10 * time.Second, Started: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	o.Listen(ctx, func(Signal) {})
	w.Listen(ctx, func(Signal) {})
	got := map[string]int{}
	claim := func(s *Session, ix string) {
		g, _, _, err := s.Exchange(ctx, nil, &Claim{Slots: []Slots{{ix, 64}}, Lookahead: 50 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range g.Grants {
			got[x.Queue]++
			settle(t, s, report(x, Done, 0, ""))
		}
	}
	for range 200 {
		claim(o, "default:echo=q2")
		claim(w, "default:echo")
		forward(t, c, 50*time.Millisecond)
	}
	if got["q1"] < 40 {
		t.Errorf("q1 and q2 share a limit: %v", got)
	}
}

// An asked and abandoned Take.
func TestAbandonedTakeHoldsNobodyUp(t *testing.T) {
	c := onRedis(t)
	newLimit(t, c, "g", "100/1s", 0)
	newQueue(t, c, "q", "", under("g"))
	submitN(t, c, "q", 3000)
	r := newRush(t, c)
	r.run(time.Second, 10*time.Millisecond)
	before := r.grants
	limiter, err := ratelimit.NewLimiter(c.rdb, ratelimit.Options{Namespace: "test"})
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		x, err := limiter.Take(context.Background(), "g", 1)
		t.Logf("%+v %v", x, err)
		r.run(time.Second, 10*time.Millisecond)
	}
	t.Logf("in 5 s with a Take each: %d grants", r.grants-before)
	if r.grants-before < 475 {
		t.Errorf("100/1s for 5 s, backlogged: %d starts", r.grants-before)
	}
}
