package scheduler

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/tests/redistest"
)

// effort is the Redis commands of one claim for some slots, and what it was granted.
func effort(t *testing.T, c *Client, s *Session, slots int) (int64, *Granted) {
	t.Helper()
	before := redistest.Commands(t, c.rdb)
	g := claimN(t, s, slots)
	return redistest.Commands(t, c.rdb) - before, g
}

// What a claim with few slots does is the same beside 10 queues and beside 1,000.
func TestEffortWithFewSlots(t *testing.T) {
	for _, rate := range []string{"100000/1s:100000", "10/1s"} {
		for _, slots := range []int{1, 2, 8} {
			var took []int64
			for _, n := range []int{10, 1000} {
				c := onRedis(t)
				newLimit(t, c, "g", rate, 0)
				for i := range n {
					newQueue(t, c, fmt.Sprint("q", i), "", under("g"))
					submitN(t, c, fmt.Sprint("q", i), 3)
				}
				s := newWorker(t, c, "w")
				claimN(t, s, slots)
				forward(t, c, time.Second)
				k, g := effort(t, c, s, slots)
				if len(g.Grants) == 0 {
					t.Fatal("nothing granted")
				}
				took = append(took, k)
			}
			if took[1] > took[0]+10 {
				t.Errorf("%s, %d slots: %d commands beside 10 queues, %d beside 1,000", rate, slots, took[0], took[1])
			}
		}
	}
}

// A limit that is frozen has few of its queues move to it in one claim.
func TestEffortOfMoves(t *testing.T) {
	c := onRedis(t)
	newLimit(t, c, "slow", "1/1s:2", 0)
	newLimit(t, c, "fast", "100/1s:2", 0)
	for i := range 1000 {
		newQueue(t, c, fmt.Sprint("q", i), "", under("slow", "fast"))
		submitN(t, c, fmt.Sprint("q", i), 2)
	}
	s := newWorker(t, c, "w")
	g := claimN(t, s, 1)
	o := report(g.Grants[0], Throttled, 60e6, "")
	o.Limit = "fast"
	settle(t, s, o)
	forward(t, c, 3*time.Second)
	k, g := effort(t, c, s, 64)
	if len(g.Grants) > 0 || g.Moves > 8 || k > 200 {
		t.Errorf("one claim: %d grants, %d moves, %d commands", len(g.Grants), g.Moves, k)
	}
}

// Keys whose first task costs more than the tokens that are left are looked at once each,
// some in a claim, and nothing of it can fail half-way.
func TestEffortOfDearKeys(t *testing.T) {
	c := onRedis(t)
	ctx := context.Background()
	newQueue(t, c, "q", "", byKey(KeySpec{Rates: rates(t, "2/1h:2"), Weight: 1}, nil))
	newQueue(t, c, "other", "")
	s := newWorker(t, c, "w")
	const n = 4500
	many := make([]SubmitRequest, n)
	for i := range many {
		many[i] = SubmitRequest{Key: fmt.Sprint("k", i), Payload: []byte("{}")}
	}
	if _, err := c.SubmitMany(ctx, "q", many); err != nil {
		t.Fatal(err)
	}
	for done := 0; done < n; {
		var out []Outcome
		for _, x := range claimN(t, s, 128).Grants {
			out = append(out, report(x, Done, 0, ""))
		}
		done += len(out)
		settle(t, s, out...)
	}
	for i := range many {
		many[i].Costs = map[string]int64{"key": 2}
	}
	if _, err := c.SubmitMany(ctx, "q", many); err != nil {
		t.Fatal(err)
	}
	submitN(t, c, "other", 1)
	granted, total := 0, int64(0)
	for range 40 {
		k, g := effort(t, c, s, 64)
		granted, total = granted+len(g.Grants), total+k
		if k > 1500 {
			t.Errorf("a claim of %d commands", k)
		}
	}
	if granted != 1 || statusOf(t, c, "other").Running != 1 {
		t.Errorf("%d grants, the task of the other queue is not among them", granted)
	}
	if k, _ := effort(t, c, s, 64); k > 20 {
		t.Errorf("all keys are known to be blocked, and a claim takes %d commands", k)
	}
	if total > 4*n {
		t.Errorf("%d commands for %d keys", total, n)
	}
	checkInvariants(t, c)
}

// Keys, and a lane, whose tasks were cancelled are cleared away in steps.
func TestEffortOfCancelledTasks(t *testing.T) {
	for _, keys := range []int{1, 3000} {
		c := onRedis(t)
		ctx := context.Background()
		newQueue(t, c, "q", "", byKey(KeySpec{Rates: rates(t, "1/1h:5"), Weight: 1}, nil), func(s *QueueSpec) { s.History = 100 })
		s := newWorker(t, c, "w")
		const n = 6000
		many := make([]SubmitRequest, n)
		for i := range many {
			many[i] = SubmitRequest{Key: fmt.Sprint("k", i%keys), Payload: []byte("{}")}
		}
		out, err := c.SubmitMany(ctx, "q", many)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range out {
			if _, err := c.Cancel(ctx, r.ID); err != nil {
				t.Fatal(err)
			}
		}
		mustSubmit(t, c, SubmitRequest{Queue: "q", Key: "last"})
		granted := 0
		for range 100 {
			k, g := effort(t, c, s, 1)
			granted += len(g.Grants)
			if k > 2000 {
				t.Fatalf("%d keys: a claim of %d commands", keys, k)
			}
		}
		if granted != 1 {
			t.Errorf("%d keys: %d grants of the one task that waits", keys, granted)
		}
		checkInvariants(t, c)
		left := c.rdb.HGet(ctx, c.keys.prefix+"q:q", "gone").Val()
		if left != "0" {
			t.Errorf("%d keys: %s cancelled tasks still stand in lanes", keys, left)
		}
	}
}

// A claim for one slot reads one of a key's large tasks, however many were given back.
func TestEffortOfGivenBackTasks(t *testing.T) {
	c := onRedis(t)
	ctx := context.Background()
	body := []byte(`"` + strings.Repeat("x", 50_000) + `"`)
	least := func(queue string, n int) time.Duration {
		newQueue(t, c, queue, "", byKey(KeySpec{Weight: 1}, nil))
		s := newWorker(t, c, "w"+queue)
		many := make([]SubmitRequest, n)
		for i := range many {
			many[i] = SubmitRequest{Key: "a", Payload: body}
		}
		if _, err := c.SubmitMany(ctx, queue, many); err != nil {
			t.Fatal(err)
		}
		var out []Outcome
		for len(out) < n {
			for _, x := range claimN(t, s, 128).Grants {
				out = append(out, report(x, GiveBack, 0, ""))
			}
		}
		settle(t, s, out...)
		best := time.Hour
		for range 5 {
			at := time.Now()
			g := claimN(t, s, 1)
			best = min(best, time.Since(at))
			settle(t, s, report(g.Grants[0], Done, 0, ""))
		}
		if err := c.Pause(ctx, queue); err != nil {
			t.Fatal(err)
		}
		return best
	}
	few, many := least("few", 10), least("many", 1000)
	t.Logf("figure: a claim for one slot: %v beside 10 tasks given back, %v beside 1,000", few, many)
	if many > 8*few {
		t.Errorf("a claim for one slot: %v beside 10 tasks given back, %v beside 1,000", few, many)
	}
}
