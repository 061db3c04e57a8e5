package scheduler

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sort"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
)

// TestRandomOperations drives all verbs at random and holds Redis against the
// invariants, the grants against their limits, and the order against a plain model: the
// ids of each queue in the order of becoming waiting.
func TestRandomOperations(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		rng := rand.New(rand.NewPCG(1, 7))
		newQueue(t, c, "free", "")
		newQueue(t, c, "fast", "2000/1s:3")
		newQueue(t, c, "slow", "20/1s:2", func(s *QueueSpec) { s.History = 5; s.Retry.Min = time.Millisecond; s.Retry.Max = 4 * time.Millisecond })
		o := &randomRun{t: t, c: c, rng: rng, held: make(map[string][]Grant)}
		o.sessions = append(o.sessions, newWorker(t, c, "w0"), newWorker(t, c, "w1"))
		rounds := 60
		if testing.Short() {
			rounds = 20
		}
		for range rounds {
			for range 25 {
				o.step()
			}
			checkInvariants(t, c)
			if t.Failed() {
				t.FailNow()
			}
		}
		t.Logf("%d tasks, %d grants", len(o.ids), len(o.granted))
		for queue, r := range map[string]string{"fast": "2000/1s:3", "slow": "20/1s:2"} {
			if err := ratelimit.Check(rate(t, r), o.grants(queue)); err != nil {
				t.Errorf("queue %s: %v", queue, err)
			}
			q := statusOf(t, c, queue)
			if int(q.TokensSpent) != len(o.grants(queue)) {
				t.Errorf("queue %s: %d tokens spent for %d grants", queue, q.TokensSpent, len(o.grants(queue)))
			}
		}
	})
}

type randomRun struct {
	t        *testing.T
	c        *Client
	rng      *rand.Rand
	sessions []*Session
	held     map[string][]Grant // by worker
	granted  []Grant
	ids      []string
	own      int
}

func (o *randomRun) grants(queue string) []ratelimit.Grant {
	var at []int64
	for _, g := range o.granted {
		if g.Queue == queue {
			at = append(at, g.GrantedAt.UnixMicro())
		}
	}
	sort.Slice(at, func(i, j int) bool { return at[i] < at[j] })
	return ratelimit.Grants(at...)
}

func (o *randomRun) step() {
	ctx := context.Background()
	queue := []string{"free", "fast", "slow"}[o.rng.IntN(3)]
	ok := func(err error, allowed ...error) {
		o.t.Helper()
		for _, a := range allowed {
			if errors.Is(err, a) {
				return
			}
		}
		var unknown *NotFoundError
		if err != nil && !errors.As(err, &unknown) {
			o.t.Fatal(err)
		}
	}
	switch n := o.rng.IntN(20); {
	case n < 6:
		tasks := make([]SubmitRequest, 1+o.rng.IntN(5))
		for i := range tasks {
			tasks[i].Payload = fmt.Appendf(nil, "%d", i)
			switch o.rng.IntN(4) {
			case 0:
				tasks[i].In = time.Duration(o.rng.IntN(20)) * time.Millisecond
			case 1:
				o.own++
				tasks[i].ID = fmt.Sprintf("own-%d", o.own)
			}
		}
		r, err := o.c.SubmitMany(ctx, queue, tasks)
		ok(err)
		for _, x := range r {
			o.ids = append(o.ids, x.ID)
		}
	case n < 11:
		s := o.sessions[o.rng.IntN(2)]
		g := claimN(o.t, s, 1+o.rng.IntN(12))
		o.held[s.ID()] = append(o.held[s.ID()], g.Grants...)
		o.granted = append(o.granted, g.Grants...)
	case n < 16:
		o.settleSome()
	case n == 16 && len(o.ids) > 0:
		_, err := o.c.Cancel(ctx, o.ids[o.rng.IntN(len(o.ids))])
		ok(err, ErrConflict)
	case n == 17 && len(o.ids) > 0:
		_, err := o.c.RetryTask(ctx, o.ids[o.rng.IntN(len(o.ids))])
		ok(err, ErrConflict)
	case n == 18:
		if o.rng.IntN(2) == 0 {
			ok(o.c.Pause(ctx, queue))
		} else {
			ok(o.c.Resume(ctx, queue))
		}
	case n == 19 && o.rng.IntN(5) == 0:
		_, err := o.c.Purge(ctx, queue)
		ok(err)
	case n == 19:
		s := o.sessions[o.rng.IntN(2)]
		_, err := s.Tick(ctx, []Slots{{"default:echo", 5}})
		ok(err)
		if o.rng.IntN(3) == 0 { // it goes, with all it holds, and another one comes
			ok(s.Leave(ctx))
			stale := settle(o.t, s, o.someOutcomes(o.held[s.ID()])...)
			if stale != len(o.held[s.ID()]) {
				o.t.Errorf("a worker that left settled %d of its tasks", len(o.held[s.ID()])-stale)
			}
			delete(o.held, s.ID())
			for i := range o.sessions {
				if o.sessions[i] == s {
					o.sessions[i] = newWorker(o.t, o.c, fmt.Sprintf("w%d", o.rng.Int64()))
				}
			}
		}
	}
}

func (o *randomRun) settleSome() {
	s := o.sessions[o.rng.IntN(2)]
	held := o.held[s.ID()]
	o.rng.Shuffle(len(held), func(i, j int) { held[i], held[j] = held[j], held[i] })
	n := o.rng.IntN(len(held) + 1)
	if n == 0 {
		return
	}
	if stale := settle(o.t, s, o.someOutcomes(held[:n])...); stale > 0 {
		o.t.Errorf("%d outcomes of a live worker were refused", stale)
	}
	o.held[s.ID()] = held[n:]
}

func (o *randomRun) someOutcomes(grants []Grant) []Outcome {
	kinds := []Outcome{
		{Kind: Done, Text: "ok"}, {Kind: Done}, {Kind: Done}, {Kind: Failed, Number: 500000, Text: "no"}, {Kind: Dead, Text: "never"},
		{Kind: RetryIn, Number: 3000, Text: "later"}, {Kind: Throttled, Number: 2000, Text: "slow down"}, {Kind: GiveBack, Number: 1},
		{Kind: Crashed, Number: 3, Text: "killed"}, {Kind: Cancelled}, {Kind: Postponed, Number: 1000},
	}
	var out []Outcome
	for _, g := range grants {
		x := kinds[o.rng.IntN(len(kinds))]
		x.Task, x.Fence = g.Internal, g.Fence
		out = append(out, x)
	}
	return out
}
