package scheduler

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/tests/redistest"
)

// The work of a grant does not grow with the queues at a limit, the keys of a queue or the
// tasks that wait: what is blocked is not touched.
func TestWorkOfAGrant(t *testing.T) {
	perGrant := func(t *testing.T, queues, keys, tasks int) float64 {
		rdb := redistest.Start(t).Client()
		defer rdb.Close()
		c, err := New(rdb, Options{Namespace: "test"})
		if err != nil {
			t.Fatal(err)
		}
		newLimit(t, c, "api", "10/1s", 0)
		for i := range queues {
			name := fmt.Sprint("q", i)
			newQueue(t, c, name, "", under("api"), func(s *QueueSpec) {
				if keys > 0 {
					s.Key = &KeySpec{Rates: rates(t, "1/1h"), Weight: 1}
				}
			})
			if keys == 0 {
				submitN(t, c, name, tasks)
				continue
			}
			many := make([]SubmitRequest, keys)
			for i := range many {
				many[i] = SubmitRequest{Key: fmt.Sprint("k", i), Payload: []byte("{}")}
			}
			if _, err := c.SubmitMany(context.Background(), name, many); err != nil {
				t.Fatal(err)
			}
		}
		r := newRush(t, c)
		r.run(time.Second, 50*time.Millisecond)
		before, grants := redistest.Commands(t, rdb), r.grants
		r.run(10*time.Second, 50*time.Millisecond)
		done := redistest.Commands(t, rdb) - before
		// asked again and again while the limit is exhausted, nothing is looked at but it
		before = redistest.Commands(t, rdb)
		r.run(100*time.Microsecond, time.Microsecond)
		if idle := float64(redistest.Commands(t, rdb)-before) / 100; idle > 25 {
			t.Errorf("%d queues, %d keys: %.1f commands for a claim of an exhausted limit", queues, keys, idle)
		}
		return float64(done) / float64(r.grants-grants)
	}
	few := perGrant(t, 10, 0, 50)
	for _, more := range [][3]int{{1000, 0, 2}, {10, 0, 2000}} {
		if many := perGrant(t, more[0], more[1], more[2]); many > 1.15*few+1 {
			t.Errorf("%d queues with %d tasks: %.1f commands a grant, 10 queues with 50: %.1f", more[0], more[2], many, few)
		}
	}
	few = perGrant(t, 1, 200, 0)
	if many := perGrant(t, 1, 20_000, 0); many > 1.15*few+1 {
		t.Errorf("20,000 keys: %.1f commands a grant, 200 keys: %.1f", many, few)
	} else {
		t.Logf("commands a grant: 200 keys %.1f, 20,000 keys %.1f", few, many)
	}
}
