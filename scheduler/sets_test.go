package scheduler

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
)

// seedOf is THROTTLE_SEED, or one that changes with each run and is told when it fails.
func seedOf(t *testing.T) uint64 {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("THROTTLE_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("to repeat: THROTTLE_SEED=%d", seed)
		}
	})
	return seed
}

// spent is what was granted of one limit, and what holds for it. Its buckets are the pure
// Go model, which is debited with every grant.
type spent struct {
	rates  ratelimit.Rates
	model  ratelimit.Buckets
	grants []ratelimit.Grant
	cap    int
	held   int
	total  int64
}

func newSpent(rates ratelimit.Rates, cap int) *spent {
	return &spent{rates: rates, cap: cap, model: ratelimit.NewBuckets(rates)}
}

// startable is the earliest instant, now at the least, at which all limits of a set have
// room by the model; a full cap has none.
func startable(set map[*spent]int64, now int64) int64 {
	at := now
	for x, cost := range set {
		if cost == 0 {
			continue
		}
		if x.cap > 0 && x.held >= x.cap {
			return ratelimit.Never
		}
		at = max(at, x.model.At(cost))
	}
	return at
}

// randomRates draws up to n rates, some of them slow, some with a burst.
func randomRates(r *rand.Rand, n int) ratelimit.Rates {
	var rs ratelimit.Rates
	for range r.IntN(n + 1) {
		x := ratelimit.Rate{
			N:      []int64{1, 2, 7, 30, 300, 5000}[r.IntN(6)],
			Period: []time.Duration{time.Second, time.Minute, time.Hour, 3 * time.Second}[r.IntN(4)],
			Burst:  []int64{1, 1, 3, 20, 100}[r.IntN(5)],
		}
		if append(rs[:len(rs):len(rs)], x).Validate() == nil {
			rs = append(rs, x)
		}
	}
	return rs
}

// world is a random set of queues, limits and keys, and what was granted against it.
type world struct {
	t      *testing.T
	c      *Client
	r      *rand.Rand
	prefix string
	queues []string
	specs  map[string]QueueSpec
	limits map[string]*spent // by "queue q", "limit l", "key q/k"
	order  map[string]string // of each queue or key: the last id granted
	held   map[int64]Grant
	costs  map[string]map[string]int64 // of each task
	again  map[string]bool             // tasks that were granted before
	least  int64                       // cost; with 0, some tasks are not under some limits
	upto   map[string]int64            // of each queue or key: the start of the last task granted
}

func newWorld(t *testing.T, c *Client, r *rand.Rand, prefix string) *world {
	w := &world{t: t, c: c, r: r, prefix: prefix, specs: map[string]QueueSpec{}, limits: map[string]*spent{},
		order: map[string]string{}, held: map[int64]Grant{}, costs: map[string]map[string]int64{}, again: map[string]bool{}, upto: map[string]int64{}, least: int64(r.IntN(2))}
	ctx := context.Background()
	var names []string
	capOf := func() int {
		if r.IntN(3) == 0 {
			return 1 + r.IntN(4)
		}
		return 0
	}
	for i := range r.IntN(4) {
		name := fmt.Sprintf("%s-l%d", prefix, i)
		x := newSpent(randomRates(r, 2), capOf())
		if _, err := c.SetLimit(ctx, name, LimitChange{Rates: &x.rates, Concurrency: &x.cap}); err != nil {
			t.Fatal(err)
		}
		w.limits["limit "+name] = x
		names = append(names, name)
	}
	for i := range 1 + r.IntN(4) {
		name := fmt.Sprintf("%s-q%d", prefix, i)
		spec := DefaultQueue("echo")
		spec.LimitSpec = LimitSpec{Rates: randomRates(r, 2), Concurrency: capOf()}
		for _, l := range names {
			if r.IntN(2) == 0 {
				spec.Limits = append(spec.Limits, l)
			}
		}
		if r.IntN(3) == 0 {
			spec.Key = &KeySpec{Rates: randomRates(r, 1), Concurrency: capOf(), Weight: 1 + r.IntN(3)}
			if r.IntN(2) == 0 {
				rule := randomRates(r, 1)
				spec.Exceptions = map[string]KeyRule{"k0": {Rates: &rule, Weight: ptr(1 + r.IntN(5))}}
			}
		}
		if _, err := c.CreateQueue(ctx, name, spec); err != nil {
			t.Fatal(err)
		}
		w.queues = append(w.queues, name)
		w.specs[name] = spec
		w.limits["queue "+name] = newSpent(spec.Rates, spec.Concurrency)
	}
	return w
}

// key is what was granted of a key's limit.
func (w *world) key(queue, key string) *spent {
	name := "key " + queue + "/" + key
	if w.limits[name] == nil {
		spec := w.specs[queue]
		rates := spec.Key.Rates
		if rule, ok := spec.Exceptions[key]; ok && rule.Rates != nil {
			rates = *rule.Rates
		}
		w.limits[name] = newSpent(rates, spec.Key.Concurrency)
	}
	return w.limits[name]
}

// set is the set of limits that a task is under, with its costs.
func (w *world) set(queue, key string, costs map[string]int64) map[*spent]int64 {
	spec := w.specs[queue]
	set := map[*spent]int64{w.limits["queue "+queue]: costs["queue"]}
	for _, l := range spec.Limits {
		set[w.limits["limit "+l]] = costs[l]
	}
	if spec.Key != nil {
		set[w.key(queue, key)] = costs["key"]
	}
	return set
}

// submit puts some random tasks in; one that costs more than a capacity is refused.
func (w *world) submit() {
	for range w.r.IntN(12) {
		queue := w.queues[w.r.IntN(len(w.queues))]
		spec := w.specs[queue]
		req := SubmitRequest{Queue: queue, Payload: []byte("{}")}
		costs := map[string]int64{"queue": 1, "key": 1}
		for _, l := range spec.Limits {
			costs[l] = 1
		}
		if spec.Key != nil {
			req.Key = fmt.Sprint("k", w.r.IntN(4))
		} else {
			delete(costs, "key")
		}
		if w.r.IntN(3) == 0 {
			req.Costs = map[string]int64{}
			for name := range costs {
				if w.r.IntN(2) == 0 {
					costs[name] = w.least + int64(w.r.IntN(4))
					req.Costs[name] = costs[name]
				}
			}
		}
		fits := true
		for x, c := range w.set(queue, req.Key, costs) {
			fits = fits && (len(x.rates) == 0 || c <= x.rates.Capacity())
		}
		got, err := w.c.Submit(context.Background(), req)
		if (err == nil) != fits {
			w.t.Fatalf("%+v under %+v: %v", req, spec, err)
		}
		if err == nil {
			w.costs[got.ID] = costs
		}
	}
}

// granted books grants: every limit of a task's set is debited at its start.
func (w *world) granted(grants []Grant, now int64) {
	for i, g := range grants {
		if i > 0 && grants[i-1].Queue == g.Queue && grants[i-1].Key == g.Key && g.GrantedAt.Before(grants[i-1].GrantedAt) {
			w.t.Errorf("queue %s, key %q: %s starts before the one that was granted first", g.Queue, g.Key, g.ID)
		}
	}
	grants = slices.Clone(grants) // they come by queue; limits are debited in the order of the starts
	slices.SortStableFunc(grants, func(a, b Grant) int { return a.GrantedAt.Compare(b.GrantedAt) })
	for _, g := range grants {
		if w.costs[g.ID] == nil {
			continue // of another world
		}
		lane := g.Queue + "/" + g.Key
		if !w.again[g.ID] && g.ID <= w.order[lane] {
			w.t.Errorf("%s: %s was granted after %s", lane, g.ID, w.order[lane])
		}
		w.order[lane] = max(w.order[lane], g.ID)
		w.held[g.Fence] = g
		at := startable(w.set(g.Queue, g.Key, w.costs[g.ID]), now)
		if at = max(at, w.upto[lane]); at != g.GrantedAt.UnixMicro() {
			w.t.Errorf("%s: %s starts at %d, the model says %d (now %d)", lane, g.ID, g.GrantedAt.UnixMicro(), at, now)
		}
		w.upto[lane] = at
		for x, cost := range w.set(g.Queue, g.Key, w.costs[g.ID]) {
			if cost > 0 {
				x.grants = append(x.grants, ratelimit.Grant{At: g.GrantedAt.UnixMicro(), Cost: cost})
				x.total += cost
				x.model.Debit(g.GrantedAt.UnixMicro(), cost)
				x.held++
				if x.cap > 0 && x.held > x.cap {
					w.t.Errorf("%s: %d are held of %d", lane, x.held, x.cap)
				}
			}
		}
	}
}

// blocked proves, after a claim that had slots left, that the model lets no first task
// start either: of queues under no named limit, and of those that are first at one.
func (w *world) blocked(now int64) {
	ctx := context.Background()
	first := make(map[string]bool)
	for name := range w.limits {
		if l, ok := strings.CutPrefix(name, "limit "); ok {
			if w.c.rdb.HGet(ctx, w.c.keys.prefix+"l:"+l, "keep").Val() == "" {
				for _, q := range w.c.rdb.ZRange(ctx, w.c.keys.prefix+"lw:"+l+":default:echo", 0, 0).Val() {
					first[q] = true
				}
			}
		}
	}
	for _, queue := range w.queues {
		if len(w.specs[queue].Limits) > 0 && (!first[queue] || w.specs[queue].Key != nil) {
			continue // with keys it waits at its slowest limit, also where its next task is not under that one
		}
		tasks, err := w.c.Tasks(ctx, queue, "waiting", 50)
		if err != nil {
			w.t.Fatal(err)
		}
		// with keys, the next of those that their own limit lets start is not passed over
		seen, blocked, eligible := make(map[string]bool), 0, 0
		for _, task := range tasks {
			if seen[task.Key] {
				continue
			}
			seen[task.Key] = true
			costs := w.costs[task.ID]
			if w.specs[queue].Key != nil && startable(map[*spent]int64{w.key(queue, task.Key): costs["key"]}, now) > now {
				continue
			}
			eligible++
			if startable(w.set(queue, task.Key, costs), now) > now {
				blocked++
			}
		}
		if eligible > 0 && blocked == 0 {
			w.t.Errorf("queue %s: the model lets the first task start at %d, and none did: %+v", queue, now, w.specs[queue])
		}
	}
}

// settle ends some of what is held.
func (w *world) settle(s *Session) {
	var out []Outcome
	for fence, g := range w.held {
		if w.r.IntN(3) > 0 {
			continue
		}
		kind := []string{Done, Done, Done, GiveBack, Failed}[w.r.IntN(5)]
		out = append(out, report(g, kind, 0, ""))
		w.again[g.ID] = w.again[g.ID] || kind != Done
		delete(w.held, fence)
		for x, cost := range w.set(g.Queue, g.Key, w.costs[g.ID]) {
			if cost > 0 {
				x.held--
			}
		}
	}
	if len(out) > 0 {
		if n := settle(w.t, s, out...); n != 0 {
			w.t.Errorf("%d outcomes are stale", n)
		}
	}
}

// check proves that all limits held in every window, and that tokens were counted.
func (w *world) check() {
	for name, x := range w.limits {
		for _, r := range x.rates {
			if err := ratelimit.Check(r, x.grants); err != nil {
				w.t.Errorf("%s, %s: %v", name, r, err)
			}
		}
	}
	for _, name := range w.queues {
		if q := statusOf(w.t, w.c, name); q.TokensSpent != w.limits["queue "+name].total {
			w.t.Errorf("queue %s: %d tokens spent, %d granted", name, q.TokensSpent, w.limits["queue "+name].total)
		}
	}
	for name, x := range w.limits {
		if name[0] == 'l' {
			if l := limitOf(w.t, w.c, name[len("limit "):]); l.Spent != x.total || int(l.Running) != x.held {
				w.t.Errorf("%s: %d tokens spent, %d granted; %d run, %d held", name, l.Spent, x.total, l.Running, x.held)
			}
		}
	}
}

// Random sets of limits hold in every window, caps at every instant, order in every lane;
// each start is at the very instant that the pure Go model of its set says, and what is not
// granted is blocked in the model too: 60 random worlds, 400 with THROTTLE_LONG=1, four side
// by side in one namespace.
func TestRandomSetsHold(t *testing.T) {
	seed := seedOf(t)
	onBoth(t, func(t *testing.T, c *Client) {
		worlds := 60
		if os.Getenv("THROTTLE_LONG") != "" {
			worlds = 400
		}
		if c.miniredis() {
			worlds /= 10
		}
		r := rand.New(rand.NewPCG(seed, 1))
		for n := 0; n < worlds; n += 4 {
			var side []*world
			for i := range 4 {
				side = append(side, newWorld(t, c, r, fmt.Sprintf("w%d", n+i)))
			}
			s := newWorker(t, c, fmt.Sprint("worker", n))
			for range 25 {
				for _, w := range side {
					w.submit()
				}
				for range 1 + r.IntN(3) {
					g := claimN(t, s, 1+r.IntN(100))
					now := c.rdb.HGet(context.Background(), c.keys.clock(), "last").Val()
					for _, w := range side {
						w.granted(g.Grants, number(now))
					}
					for _, w := range side {
						if g.Indexes[0].Idle && w.least > 0 {
							w.blocked(number(now))
						}
					}
				}
				for _, w := range side {
					w.settle(s)
				}
				forward(t, c, time.Duration(r.Int64N([]int64{50_000, 2_000_000, 100_000_000, 4_000_000_000}[r.IntN(4)]))*time.Microsecond)
			}
			checkInvariants(t, c)
			for _, w := range side {
				w.check()
			}
			// what is left starts, given time
			for range 400 {
				forward(t, c, time.Hour)
				for {
					g := claimN(t, s, 100).Grants
					now := c.rdb.HGet(context.Background(), c.keys.clock(), "last").Val()
					for _, w := range side {
						w.granted(g, number(now))
					}
					var out []Outcome
					for _, w := range side {
						for fence, x := range w.held {
							out = append(out, report(x, Done, 0, ""))
							delete(w.held, fence)
							for x, cost := range w.set(x.Queue, x.Key, w.costs[x.ID]) {
								if cost > 0 {
									x.held--
								}
							}
						}
					}
					if len(out) == 0 {
						break
					}
					settle(t, s, out...)
				}
				if left := waitingIn(t, c); left == 0 {
					break
				}
			}
			for _, w := range side {
				w.check()
				for _, name := range w.queues {
					if q := statusOf(t, c, name); q.Waiting+q.Scheduled+q.Running > 0 {
						t.Errorf("%s: %d wait, %d are scheduled, %d run: %q %+v", name, q.Waiting, q.Scheduled, q.Running, q.BlockedBy, q.Binding)
					}
				}
			}
			checkInvariants(t, c)
			if t.Failed() {
				return
			}
			for _, w := range side {
				for _, name := range w.queues {
					if err := c.RemoveQueue(context.Background(), name, true); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := s.Leave(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func waitingIn(t *testing.T, c *Client) (n int64) {
	t.Helper()
	queues, err := c.Queues(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range queues {
		n += q.Waiting + q.Scheduled
	}
	return n
}

// miniredis tells whether the embedded one answers.
func (c *Client) miniredis() bool {
	_, err := c.rdb.Info(context.Background(), "cpu").Result()
	return err != nil
}
