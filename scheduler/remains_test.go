package scheduler

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Keys without a state are full at whatever capacity comes.
func TestRaisedBurstOfKeysAccrues(t *testing.T) {
	c := onRedis(t)
	newQueue(t, c, "q", "", byKey(KeySpec{Rates: rates(t, "1/1m"), Weight: 1}, nil))
	s := newWorker(t, c, "w")
	submitKeys(t, c, "q", 100, "a")
	g := claimN(t, s, 64)
	settle(t, s, report(g.Grants[0], Done, 0, ""))
	if _, err := c.Purge(context.Background(), "q"); err != nil {
		t.Fatal(err)
	}
	forward(t, c, 2*time.Minute)
	tick(t, s)
	more := &KeySpec{Rates: rates(t, "1/1m:100"), Weight: 1}
	if err := c.UpdateQueue(context.Background(), "q", QueueChange{Key: &more}); err != nil {
		t.Fatal(err)
	}
	submitKeys(t, c, "q", 100, "a")
	if n := len(claimN(t, s, 128).Grants); n > 2 {
		t.Errorf("1/1m -> 1/1m:100: %d starts at once, at most the one token that was there", n)
	}
}

func TestWasteOfARemovedQueue(t *testing.T) {
	c := onRedis(t)
	newLimit(t, c, "g", "10/1s", 0)
	newQueue(t, c, "q", "", under("g"))
	s := newWorker(t, c, "w")
	submitN(t, c, "q", 1)
	g := claimN(t, s, 64)
	if err := c.RemoveQueue(context.Background(), "q", true); err != nil {
		t.Fatal(err)
	}
	settle(t, s, report(g.Grants[0], GiveBack, 1, ""))
	if l := limitOf(t, c, "g"); l.Spent-l.Wasted != 0 {
		t.Errorf("nothing started: spent %d, wasted %d", l.Spent, l.Wasted)
	}
}

func TestKeyBlockLeavesNothing(t *testing.T) {
	c := onRedis(t)
	ctx := context.Background()
	newQueue(t, c, "q", "", byKey(KeySpec{Rates: rates(t, "1/1h"), Weight: 1}, nil))
	s := newWorker(t, c, "w")
	submitKeys(t, c, "q", 1, "a")
	g := claimN(t, s, 64)
	settle(t, s, report(g.Grants[0], Done, 0, ""))
	r := mustSubmit(t, c, SubmitRequest{Queue: "q", Key: "a"})
	c.Cancel(ctx, r.ID)
	var none *KeySpec
	if err := c.UpdateQueue(ctx, "q", QueueChange{Key: &none}); err != nil {
		t.Fatal(err)
	}
	if err := c.RemoveQueue(ctx, "q", true); err != nil {
		t.Fatal(err)
	}
	forward(t, c, 24*time.Hour)
	tick(t, s)
	tick(t, s)
	keys, _ := c.rdb.Keys(ctx, "*q*").Result()
	for _, k := range keys {
		if k != "{test}:queues" && k != "{test}:run:q" {
			t.Errorf("left of a removed queue: %s", k)
		}
	}
}

// keys_review at the end of a whole chunk writes first
func TestFullMemoryWithKeysToReview(t *testing.T) {
	c := onRedis(t)
	ctx := context.Background()
	newQueue(t, c, "q", "", byKey(KeySpec{Rates: rates(t, "1/1h"), Weight: 1}, nil))
	newQueue(t, c, "other", "")
	s := newWorker(t, c, "w")
	var keys []string
	for i := range 64 {
		keys = append(keys, fmt.Sprint("k", i))
	}
	submitKeys(t, c, "q", 2, keys...)
	g := claimN(t, s, 128)
	t.Log(len(g.Grants), c.rdb.ZCard(ctx, c.keys.keyLater("q")).Val())
	slower := &KeySpec{Rates: rates(t, "1/2h"), Weight: 1}
	if err := c.UpdateQueue(ctx, "q", QueueChange{Key: &slower}); err != nil {
		t.Fatal(err)
	}
	submitN(t, c, "other", 10)
	if err := c.rdb.ConfigSet(ctx, "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		g, _, _, err := s.Exchange(ctx, nil, &Claim{Slots: []Slots{{"default:echo", 1}}})
		if err != nil {
			t.Errorf("claim: %.200v", err)
		} else {
			t.Log(byQueue(g.Grants))
		}
	}
	c.rdb.ConfigSet(ctx, "maxmemory", "0")
}

func TestExceptionsLeaveNothing(t *testing.T) {
	c := onRedis(t)
	ctx := context.Background()
	newQueue(t, c, "q", "", byKey(KeySpec{Weight: 1}, nil))
	before := c.rdb.HLen(ctx, "{test}:q:q").Val()
	for i := range 50 {
		k := fmt.Sprint("tenant", i)
		for _, r := range []*KeyRule{{Weight: ptr(2)}, nil} {
			if err := c.UpdateQueue(ctx, "q", QueueChange{Exceptions: map[string]*KeyRule{k: r}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := c.rdb.HLen(ctx, "{test}:q:q").Val() - before; n > 10 {
		t.Errorf("50 exceptions set and removed leave %d fields in the queue's hash", n)
	}
}

// all tasks of a queue with keys cancelled: nothing goes
func TestCancelledKeysLeaveNothing(t *testing.T) {
	c := onRedis(t)
	ctx := context.Background()
	newQueue(t, c, "q", "", byKey(KeySpec{Rates: rates(t, "1/1m"), Weight: 1}, nil), func(s *QueueSpec) { s.ExpireAfter = time.Minute })
	s := newWorker(t, c, "w")
	submitKeys(t, c, "q", 2, "a", "b", "c")
	g := claimN(t, s, 64)
	var out []Outcome
	for _, x := range g.Grants {
		out = append(out, report(x, Done, 0, ""))
	}
	settle(t, s, out...)
	tasks, err := c.Tasks(ctx, "q", "waiting", 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range tasks {
		c.Cancel(ctx, x.ID)
	}
	for range 10 {
		forward(t, c, time.Hour)
		tick(t, s)
		tick(t, s)
		claimN(t, s, 64)
	}
	keys, _ := c.rdb.Keys(ctx, "*:q*").Result()
	if len(keys) > 0 {
		t.Errorf("empty for 10 h, expire_after 1m; left: %v; states %v", keys, c.rdb.HGetAll(ctx, "{test}:keys:q").Val())
	}
}

func TestNoKeyBlockOverDeadTasks(t *testing.T) {
	c := onRedis(t)
	ctx := context.Background()
	newQueue(t, c, "q", "")
	s := newWorker(t, c, "w")
	submitN(t, c, "q", 1)
	settle(t, s, report(claimN(t, s, 1).Grants[0], Dead, 0, "x"))
	key := &KeySpec{Rates: rates(t, "1/1h"), Weight: 1}
	err := c.UpdateQueue(ctx, "q", QueueChange{Key: &key})
	if !errors.Is(err, ErrConflict) {
		t.Errorf("a key block over a dead task without a key: %v", err)
	}
	checkInvariants(t, c)
}

func TestLimitNamedAll(t *testing.T) {
	c := onRedis(t)
	newLimit(t, c, "all", "1000/1s:1000", 0)
	newQueue(t, c, "q", "10/1s:10", under("all"))
	x, err := c.Submit(context.Background(), cost("q", map[string]int64{"all": 500}))
	if err != nil {
		t.Errorf("%+v %v", x, err)
	}
	s := newWorker(t, c, "w")
	mustSubmit(t, c, cost("q", map[string]int64{"all": 10}))
	claimN(t, s, 1)
	if q := statusOf(t, c, "q"); q.TokensSpent != 1 {
		t.Errorf("one task of 1 token of the queue spent %d", q.TokensSpent)
	}
}

func TestRunsOfTasksUnderLimits(t *testing.T) {
	c := onRedis(t)
	newLimit(t, c, "g", "1000/1s:1000", 0)
	newQueue(t, c, "q", "", under("g"))
	s := newWorker(t, c, "w")
	submitN(t, c, "q", 3)
	if n := len(claimN(t, s, 64).Grants); n != 3 {
		t.Fatal(n)
	}
	if r, err := c.Runs(context.Background(), "w"); len(r) != 3 {
		t.Errorf("worker show lists %d of 3 running tasks, %v", len(r), err)
	}
}

func TestCostUnderADamagedRate(t *testing.T) {
	c := onRedis(t)
	ctx := context.Background()
	newQueue(t, c, "q", "10/1s:10")
	c.rdb.HSet(ctx, "{test}:q:q", "rate", "rubbish")
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("Submit panics: %v", p)
		}
	}()
	_, err := c.Submit(ctx, cost("q", map[string]int64{"queue": 2}))
	t.Log(err)
}

// A limit that goes between check and EXEC.
func TestApplyTellsWhatBecameImpossible(t *testing.T) {
	c := onRedis(t)
	ctx := context.Background()
	newLimit(t, c, "g", "1/1s", 0)
	spec := DefaultQueue("echo")
	spec.Limits = []string{"g"}
	d := Declaration{Owner: "o", Queues: map[string]QueueSpec{"q1": spec, "q2": DefaultQueue("echo")}}
	limits, err := c.limitCalls(ctx, d)
	if err != nil {
		t.Fatal(err)
	}
	queues, err := c.queueCalls(ctx, d)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.RemoveLimit(ctx, "g", ""); err != nil { // somebody else, just now
		t.Fatal(err)
	}
	err = c.defineAll(ctx, limits, queues)
	_, e1 := c.Queue(ctx, "q1")
	_, e2 := c.Queue(ctx, "q2")
	if err == nil && e1 != nil {
		t.Errorf("Apply says nil; q1: %v, q2: %v", e1, e2)
	}
}

// Fairness by cost, where the cost is named
func TestKeysShareByTheirCostForTheQueue(t *testing.T) {
	c := onRedis(t)
	ctx := context.Background()
	newQueue(t, c, "q", "20/1s:20", byKey(KeySpec{Weight: 1}, nil))
	s := newWorker(t, c, "w")
	var many []SubmitRequest
	for range 200 {
		many = append(many, SubmitRequest{Key: "dear", Payload: []byte("{}"), Costs: map[string]int64{"queue": 10}})
	}
	for range 1000 {
		many = append(many, SubmitRequest{Key: "cheap", Payload: []byte("{}")})
	}
	if _, err := c.SubmitMany(ctx, "q", many); err != nil {
		t.Fatal(err)
	}
	spent := map[string]int{}
	for range 600 {
		var out []Outcome
		for _, x := range claimN(t, s, 64).Grants {
			out = append(out, report(x, Done, 0, ""))
			if x.Key == "dear" {
				spent["dear"] += 10
			} else {
				spent["cheap"]++
			}
		}
		settle(t, s, out...)
		forward(t, c, 50*time.Millisecond)
	}
	if spent["dear"] > 2*spent["cheap"] {
		t.Errorf("tokens of the queue by keys of equal weight: %v", spent)
	}
}

func TestDebtAndOverride(t *testing.T) {
	c := onRedis(t)
	ctx := context.Background()
	newQueue(t, c, "q", "10/1s:20", func(s *QueueSpec) { s.DebtMax = 20 })
	slow := rates(t, "1/1s")
	if err := c.UpdateQueue(ctx, "q", QueueChange{Rates: &slow, For: time.Hour}); err != nil {
		t.Errorf("%v", err)
	}
}

// one slot at each claim; keys later than now but within the look-ahead
func TestUpdateUnderOverride(t *testing.T) {
	c := onRedis(t)
	ctx := context.Background()
	newQueue(t, c, "q", "1/1s", nil...)
	fast := rates(t, "10/1s:20")
	if err := c.UpdateQueue(ctx, "q", QueueChange{Rates: &fast, For: time.Hour}); err != nil {
		t.Fatal(err)
	}
	mustSubmit(t, c, cost("q", map[string]int64{"queue": 20}))
	if err := c.UpdateQueue(ctx, "q", QueueChange{DebtMax: ptr(int64(20))}); err != nil {
		t.Log(err)
	} else {
		forward(t, c, 2*time.Hour)
		q := statusOf(t, c, "q")
		if err := q.LimitSpec.validate(); err != nil {
			t.Errorf("after the override: %v; any further update: %v", err, c.UpdateQueue(ctx, "q", QueueChange{Concurrency: ptr(3)}))
		}
	}
}

func TestLimitDebtAfterOverride(t *testing.T) {
	c := onRedis(t)
	ctx := context.Background()
	x := rates(t, "10/1s:20")
	if _, err := c.SetLimit(ctx, "g", LimitChange{Rates: &x, DebtMax: ptr(int64(20))}); err != nil {
		t.Fatal(err)
	}
	slow := rates(t, "1/1s")
	if _, err := c.SetLimit(ctx, "g", LimitChange{Rates: &slow, For: time.Hour}); err != nil {
		t.Errorf("limit set --rate 1/1s --for 1h: %v", err)
	}
}

// The reply of a claim is lost under limits, the same claim again.
func TestLostReplyUnderLimits(t *testing.T) {
	c := onRedis(t)
	ctx := context.Background()
	newLimit(t, c, "g", "10/1s:5", 3)
	newQueue(t, c, "q", "", under("g"), byKey(KeySpec{Weight: 1}, nil))
	s := newWorker(t, c, "w")
	submitKeys(t, c, "q", 5, "a b", "x key=1:y", `"`, "é\xff", "k:1", "w x=9")
	g := claimN(t, s, 64)
	s.claims.last--
	h, _, _, err := s.Exchange(ctx, nil, &Claim{Slots: []Slots{{"default:echo", 64}}})
	if err != nil || len(h.Grants) != len(g.Grants) {
		t.Errorf("%v %d %d", err, len(h.Grants), len(g.Grants))
	}
	for i := range h.Grants {
		if h.Grants[i].Fence != g.Grants[i].Fence || h.Grants[i].ID != g.Grants[i].ID {
			t.Errorf("%+v %+v", h.Grants[i], g.Grants[i])
		}
	}
	checkInvariants(t, c)
	for range 40 {
		var out []Outcome
		for i, x := range g.Grants {
			out = append(out, report(x, []string{Done, GiveBack, Throttled}[i%3], 0, ""))
		}
		settle(t, s, out...)
		checkInvariants(t, c)
		forward(t, c, time.Second)
		g = claimN(t, s, 64)
	}
	if q := statusOf(t, c, "q"); q.Waiting+q.Running > 0 {
		t.Errorf("%d %d", q.Waiting, q.Running)
	}
}

// cutter ends a context with the n-th script that is called.
type cutter struct {
	left int
	cut  context.CancelFunc
}

func (x *cutter) DialHook(next redis.DialHook) redis.DialHook { return next }
func (x *cutter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
func (x *cutter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if x.cut != nil && strings.HasPrefix(cmd.Name(), "eval") {
			if x.left--; x.left == 0 {
				x.cut()
			}
		}
		return next(ctx, cmd)
	}
}

// A removal that breaks off leaves a queue that goes on, and says what it dropped.
func TestRemovalThatBreaksOff(t *testing.T) {
	c := onRedis(t)
	newQueue(t, c, "q", "")
	submitN(t, c, "q", 3000)
	x := &cutter{left: 8}
	c.rdb.AddHook(x)
	ctx, cut := context.WithCancel(context.Background())
	defer cut()
	x.cut = cut
	err := c.RemoveQueue(ctx, "q", true)
	x.cut = nil
	q := statusOf(t, c, "q")
	if err == nil || q.Paused || q.Waiting == 0 || q.Waiting == 3000 || !strings.Contains(err.Error(), fmt.Sprintf("(%d of its tasks", 3000-q.Waiting)) {
		t.Errorf("%v; paused %v, %d waiting", err, q.Paused, q.Waiting)
	}
	checkInvariants(t, c)
	if err := c.RemoveQueue(context.Background(), "q", true); err != nil {
		t.Error(err)
	}
}
