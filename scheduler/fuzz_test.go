package scheduler

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
)

func checkLimitState(t *testing.T, c *Client) {
	t.Helper()
	ctx := context.Background()
	p := c.keys.prefix
	held := map[string]int64{}
	runs, _ := c.rdb.Keys(ctx, p+"run:*").Result()
	for _, k := range runs {
		for _, lease := range c.rdb.HGetAll(ctx, k).Val() {
			rest, _, _ := strings.Cut(lease, " key=")
			for _, f := range strings.Fields(rest)[5:] {
				n, _, _ := strings.Cut(f, "=")
				held[n]++
			}
		}
	}
	for _, l := range c.rdb.ZRange(ctx, c.keys.limits(), 0, -1).Val() {
		if got := number(c.rdb.HGet(ctx, p+"l:"+l, "running").Val()); got != held[l] {
			t.Errorf("limit %s: running %d, leases %d", l, got, held[l])
		}
		lx := map[string]bool{}
		for _, ix := range c.rdb.SMembers(ctx, p+"lx:"+l).Val() {
			lx[ix] = true
			if c.rdb.ZCard(ctx, p+"lw:"+l+":"+ix).Val() == 0 {
				t.Errorf("limit %s: lx has %s, nobody waits", l, ix)
			}
		}
		named := map[string]bool{}
		for _, q := range c.rdb.SMembers(ctx, p+"lr:"+l).Val() {
			named[q] = true
			if c.rdb.Exists(ctx, p+"q:"+q).Val() == 0 {
				t.Errorf("limit %s: named by removed queue %s", l, q)
			}
		}
	}
	dues, _ := c.rdb.Keys(ctx, p+"due:*").Result()
	for _, k := range dues {
		ix := strings.TrimPrefix(k, p+"due:")
		for _, e := range c.rdb.ZRange(ctx, k, 0, -1).Val() {
			if l, ok := strings.CutPrefix(e, "@"); ok && c.rdb.ZCard(ctx, p+"lw:"+l+":"+ix).Val() == 0 {
				t.Errorf("due:%s has %s, where nobody waits", ix, e)
			} else if !ok && c.rdb.Exists(ctx, p+"q:"+e).Val() == 0 {
				t.Errorf("due:%s has removed queue %s", ix, e)
			}
		}
	}
}

func TestAnyCommandsInAnyOrder(t *testing.T) {
	seed := seedOf(t)
	r := rand.New(rand.NewPCG(seed, 7))
	c := onRedis(t)
	ctx := context.Background()
	lims := []string{"l0", "l1", "l2"}
	rr := func() ratelimit.Rates {
		return rates(t, []string{"10/1s:5", "1/1s", "100/1s:20", "3/1m:3", "50/1s"}[r.IntN(5)])
	}
	capOf := func() int { return []int{0, 0, 1, 3}[r.IntN(4)] }
	for _, l := range lims {
		x, n := rr(), capOf()
		c.SetLimit(ctx, l, LimitChange{Rates: &x, Concurrency: &n})
	}
	someLimits := func() []string {
		var out []string
		for _, l := range lims {
			if r.IntN(2) == 0 {
				out = append(out, l)
			}
		}
		return out
	}
	mk := func(q string) {
		spec := DefaultQueue([]string{"echo", "echo2"}[r.IntN(2)])
		spec.Retry.Max = 5 * time.Second
		spec.Limits = someLimits()
		spec.Concurrency = capOf()
		if r.IntN(2) == 0 {
			spec.Rates = rr()
		}
		if r.IntN(2) == 0 {
			spec.Key = &KeySpec{Rates: rr(), Concurrency: capOf(), Weight: 1 + r.IntN(3)}
		}
		c.CreateQueue(ctx, q, spec)
	}
	queues := []string{"q0", "q1", "q2", "q3"}
	for _, q := range queues {
		mk(q)
	}
	type W struct {
		s    *Session
		ix   []string
		held []Grant
	}
	wn := 0
	reg := func() *W {
		wn++
		ix := [][]string{{"default:echo"}, {"default:echo2"}, {"default:echo", "default:echo2"}, {"default:echo=q1", "default:echo2=q1"}}[r.IntN(4)]
		s, err := c.Register(ctx, Worker{ID: fmt.Sprint("w", wn), Pools: []string{"default"}, Indexes: ix, Slots: map[string]int{"echo": 64, "echo2": 64}, Lease: 10 * time.Second, Started: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		return &W{s: s, ix: ix}
	}
	ws := []*W{reg(), reg(), reg()}
	var ids []string
	claim := func(w *W, free int) {
		var sl []Slots
		for _, ix := range w.ix {
			sl = append(sl, Slots{ix, free})
		}
		g, _, _, err := w.s.Exchange(ctx, nil, &Claim{Slots: sl, Lookahead: 50 * time.Millisecond, Part: 1 + r.IntN(2)*r.IntN(8)})
		if err != nil {
			t.Fatalf("claim: %v", err)
		}
		w.held = append(w.held, g.Grants...)
	}
	settleAll := func(w *W, frac int, kinds ...string) {
		var out []Outcome
		var keep []Grant
		for _, g := range w.held {
			if r.IntN(frac) > 0 {
				keep = append(keep, g)
				continue
			}
			o := report(g, kinds[r.IntN(len(kinds))], int64(r.IntN(2)), "")
			if o.Kind == Throttled {
				o.Number = int64(r.IntN(3_000_000))
			}
			o.Limit = []string{"", "queue", "key", "l0", "l1", "nix"}[r.IntN(6)]
			if r.IntN(3) == 0 {
				o.Actual = map[string]int64{"l0": int64(r.IntN(5)), "queue": int64(r.IntN(5)), "key": int64(r.IntN(5))}
				o.Reports = []Report{{Limit: "l1", Remaining: int64(r.IntN(3)), Reset: time.Second}, {Limit: "key", Remaining: 0, Reset: time.Second}}
			}
			out = append(out, o)
		}
		w.held = keep
		if len(out) > 0 {
			settle(t, w.s, out...)
		}
	}
	limiter, _ := ratelimit.NewLimiter(c.rdb, ratelimit.Options{Namespace: "test"})
	var log []string
	for step := range 600 {
		q := queues[r.IntN(len(queues))]
		op := r.IntN(24)
		log = append(log, fmt.Sprint(op, " ", q))
		switch op {
		case 0, 1, 2, 3:
			for range r.IntN(8) {
				req := SubmitRequest{Queue: q, Key: fmt.Sprint("k", r.IntN(4)), Payload: []byte("{}")}
				if r.IntN(3) == 0 {
					req.Costs = map[string]int64{"queue": int64(r.IntN(2)), []string{"l0", "l1", "key"}[r.IntN(3)]: int64(r.IntN(2))}
				}
				if r.IntN(4) == 0 {
					req.In = time.Duration(r.IntN(3000)) * time.Millisecond
				}
				if x, err := c.Submit(ctx, req); err == nil {
					ids = append(ids, x.ID)
				}
			}
		case 4, 5, 6, 7, 8:
			claim(ws[r.IntN(len(ws))], 1+r.IntN(20))
		case 9, 10, 11:
			settleAll(ws[r.IntN(len(ws))], 1+r.IntN(3), Done, Done, Done, GiveBack, Failed, Throttled, Dead, Crashed, Postponed, Cancelled)
		case 12:
			if len(ids) > 0 {
				c.Cancel(ctx, ids[r.IntN(len(ids))])
			}
		case 13:
			if len(ids) > 0 {
				c.RetryTask(ctx, ids[r.IntN(len(ids))])
			}
		case 14:
			x := someLimits()
			c.UpdateQueue(ctx, q, QueueChange{Limits: &x, Concurrency: ptr(capOf())})
		case 15:
			x := rr()
			ch := QueueChange{Rates: &x}
			if r.IntN(2) == 0 {
				ch.For = time.Duration(1+r.IntN(5)) * time.Second
			}
			c.UpdateQueue(ctx, q, ch)
		case 16:
			if st, err := c.Queue(ctx, q); err == nil && st.Key != nil {
				k := &KeySpec{Rates: rr(), Concurrency: capOf(), Weight: 1 + r.IntN(3)}
				x := rr()
				c.UpdateQueue(ctx, q, QueueChange{Key: &k, Exceptions: map[string]*KeyRule{"k0": {Rates: &x}, "k1": nil}})
			} else {
				k := &KeySpec{Rates: rr(), Weight: 1}
				c.UpdateQueue(ctx, q, QueueChange{Key: &k})
			}
		case 17:
			h := []string{"echo", "echo2"}[r.IntN(2)]
			c.UpdateQueue(ctx, q, QueueChange{Handler: &h})
		case 18:
			if r.IntN(2) == 0 {
				c.Pause(ctx, q)
			} else {
				c.Resume(ctx, q)
			}
		case 19:
			x, n := rr(), capOf()
			ch := LimitChange{Rates: &x, Concurrency: &n}
			if r.IntN(2) == 0 {
				ch.For = time.Duration(1+r.IntN(5)) * time.Second
			}
			c.SetLimit(ctx, lims[r.IntN(3)], ch)
		case 20:
			limiter.Take(ctx, lims[r.IntN(3)], int64(1+r.IntN(3)))
		case 21:
			i := r.IntN(len(ws))
			switch r.IntN(3) {
			case 0:
				if err := ws[i].s.Leave(ctx); err != nil {
					t.Fatal(err)
				}
				ws[i] = reg()
			default:
				for _, w := range ws {
					if b, err := w.s.Tick(ctx, nil); err != nil {
						t.Fatal(err, b)
					}
				}
			}
		case 22:
			if r.IntN(4) == 0 {
				c.Purge(ctx, q)
			}
		case 23:
			if st, err := c.Queue(ctx, q); r.IntN(6) == 0 && err == nil && st.Running == 0 {
				c.RemoveQueue(ctx, q, true)
				mk(q)
			}
		}
		forward(t, c, time.Duration(r.IntN(200))*time.Millisecond)
		if step%5 == 0 {
			stale := false
			for _, q := range queues {
				stale = stale || c.rdb.HGet(ctx, "{test}:q:"+q, "stale").Val() != ""
			}
			if !stale {
				checkInvariants(t, c)
			}
			checkLimitState(t, c)
		}
		if t.Failed() {
			for _, q := range queues {
				p := "{test}:"
				h := c.rdb.HGetAll(ctx, p+"q:"+q).Val()
				t.Logf("%s: rate %q over %q limits %q key %q cap %s running %s waiting %s later %s place %q bucket %q frozen %s", q, h["rate"], h["over"], h["limits"], h["key"], h["cap"], h["running"], h["waiting"], h["later"], h["place"], h["bucket"], h["frozen"])
				ids := append(c.rdb.ZRange(ctx, p+"front:"+q, 0, 0).Val(), c.rdb.LRange(ctx, p+"wait:"+q, 0, 0).Val()...)
				for _, id := range ids {
					t.Logf("  head %s %q", id, c.rdb.HGet(ctx, p+"tasks:"+q, id).Val())
				}
				t.Logf("  ready %v later %v full %v keys %v", c.rdb.ZRangeWithScores(ctx, p+"keyready:"+q, 0, -1).Val(), c.rdb.ZRangeWithScores(ctx, p+"keylater:"+q, 0, -1).Val(), c.rdb.ZRange(ctx, p+"keyfull:"+q, 0, -1).Val(), c.rdb.HGetAll(ctx, p+"keys:"+q).Val())
			}
			t.Fatalf("step %d: %v", step, log[max(0, len(log)-12):])
		}
	}
	// all that waits comes
	for _, q := range queues {
		c.Resume(ctx, q)
	}
	x := rates(t, "100/1s:100")
	for _, l := range lims {
		c.SetLimit(ctx, l, LimitChange{Rates: &x})
	}
	for _, q := range queues {
		ch := QueueChange{Rates: &x}
		if st, _ := c.Queue(ctx, q); st.Key != nil {
			k := *st.Key
			k.Rates = x
			kp := &k
			ch.Key = &kp
			ch.Exceptions = map[string]*KeyRule{"k0": nil}
		}
		if err := c.UpdateQueue(ctx, q, ch); err != nil {
			t.Log(err)
		}
	}
	all := &W{s: reg().s, ix: []string{"default:echo", "default:echo2"}}
	for range 200 {
		for _, w := range append(ws, all) {
			settleAll(w, 1, Done)
			w.s.Tick(ctx, nil)
		}
		claim(all, 64)
		forward(t, c, 900*time.Millisecond)
	}
	for _, q := range queues {
		st := statusOf(t, c, q)
		if st.Waiting+st.Scheduled+st.Running > 0 {
			h := c.rdb.HGetAll(ctx, "{test}:q:"+q).Val()
			t.Errorf("%s: waiting %d scheduled %d running %d, by %q; %v", q, st.Waiting, st.Scheduled, st.Running, st.BlockedBy, h)
		}
	}
	checkInvariants(t, c)
	checkLimitState(t, c)
}
