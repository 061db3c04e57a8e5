package scheduler

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func explain(t *testing.T, c *Client, id string) Explanation {
	t.Helper()
	e, err := c.Explain(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func because(t *testing.T, c *Client, id, want string) Explanation {
	t.Helper()
	e := explain(t, c, id)
	if e.Reason != want {
		t.Errorf("task %s of queue %s: %s, want %s: %+v", id, e.Queue.Name, e.Reason, want, e.Binding)
	}
	return e
}

// within demands that an explanation names instants these seconds away, a second at most off.
func within(t *testing.T, e Explanation, earliest, latest float64) {
	t.Helper()
	for _, x := range []struct {
		at   time.Time
		want float64
	}{{e.Earliest, earliest}, {e.Latest, latest}} {
		if x.want < 0 != x.at.IsZero() {
			t.Errorf("%s: %v to %v", e.Reason, e.Earliest, e.Latest)
		} else if d := x.at.Sub(e.At).Seconds() - x.want; x.want >= 0 && (d < -1 || d > 1) {
			t.Errorf("%s: starts in %v to %v, want %v s to %v s; %q", e.Reason, e.Earliest.Sub(e.At), e.Latest.Sub(e.At), earliest, latest, e.RestsOn)
		}
	}
}

// Each thing that holds a task up, the one that comes first among several, and the life of
// one task.
func TestExplain(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		newQueue(t, c, "free", "")
		id := submitN(t, c, "free", 1)[0].ID
		within(t, because(t, c, id, ReasonNoWorker), -1, -1)
		must(c.Pause(ctx, "free"))
		because(t, c, id, ReasonPaused) // what a person did comes first
		must(c.Resume(ctx, "free"))
		s := newWorker(t, c, "w")
		within(t, because(t, c, id, ReasonReady), 0, 0)
		must(s.Announce(ctx, func(w *Worker) { w.Down = []string{"echo"} }))
		because(t, c, id, ReasonPluginDown)
		must(s.Announce(ctx, func(w *Worker) { w.Down, w.Draining = nil, true }))
		because(t, c, id, ReasonNoWorker)
		must(s.Announce(ctx, func(w *Worker) { w.Draining, w.Slots = false, map[string]int{"echo": 64, "web": 1} }))

		// its life
		later, err := c.Submit(ctx, SubmitRequest{Queue: "free", ID: "later", In: time.Hour})
		must(err)
		within(t, because(t, c, later.ID, ReasonScheduled), 3600, -1)
		g := claimN(t, s, 1).Grants[0]
		e := because(t, c, id, ReasonRunning)
		if w, ok := e.Holder(); !ok || w.ID != "w" {
			t.Errorf("%+v", w)
		}
		settle(t, s, report(g, Dead, 0, "550 no such user"))
		if e := because(t, c, id, "dead"); e.Task.LastError != "550 no such user" || len(e.Workers) != 0 {
			t.Errorf("%+v", e)
		}
		done := submitN(t, c, "free", 1)[0].ID
		settle(t, s, report(claimN(t, s, 1).Grants[0], Done, 0, "ok"))
		because(t, c, done, "done")

		// tokens
		newQueue(t, c, "rated", "1/1m:2")
		rated := submitN(t, c, "rated", 4)
		within(t, because(t, c, rated[0].ID, ReasonReady), 0, 0)
		within(t, because(t, c, rated[1].ID, ReasonBehind), 0, 0)
		e = because(t, c, rated[3].ID, ReasonRate)
		within(t, e, 120, 120)
		if e.Binding.Need != 1 || e.Binding.Have != 2 || e.Task.Position != 3 {
			t.Errorf("%+v %+v", e.Task.Position, e.Binding)
		}
		newLimit(t, c, "github", "1/1m", 0)
		for _, q := range []string{"a", "b", "c"} {
			newQueue(t, c, q, "", under("github"))
		}
		first := submitN(t, c, "a", 1)
		claimN(t, s, 3) // two of queue rated, and one of a
		because(t, c, first[0].ID, ReasonRunning)
		for _, q := range []string{"a", "b", "c"} {
			first = submitN(t, c, q, 2)
		}
		claimN(t, s, 1) // they wait at the limit from now on
		e = because(t, c, first[1].ID, ReasonLimit)
		within(t, e, 120, 360)
		if !slices.ContainsFunc(e.RestsOn, func(s string) bool { return strings.Contains(s, `3 queues take turns at limit "github"`) }) {
			t.Errorf("%q", e.RestsOn)
		}

		// a cost above a capacity, a freeze, a cap, a key
		newQueue(t, c, "never", "1/1s:5")
		never := mustSubmit(t, c, cost("never", map[string]int64{"queue": 5}))
		must(c.UpdateQueue(ctx, "never", QueueChange{Rates: ptr(rates(t, "1/1s:3"))}))
		within(t, because(t, c, never.ID, ReasonNever), -1, -1)

		newQueue(t, c, "frozen", "10/1s:10")
		submitN(t, c, "frozen", 1)
		settle(t, s, report(claimN(t, s, 1).Grants[0], Throttled, 9_000_000, "429"))
		waits := submitN(t, c, "frozen", 1)[0].ID
		within(t, because(t, c, waits, ReasonFrozen), 9, 9)

		newQueue(t, c, "capped", "", func(q *QueueSpec) { q.Concurrency = 1 })
		capped := submitN(t, c, "capped", 2)
		if g := claimN(t, s, 1).Grants; len(g) != 1 || g[0].Queue != "capped" {
			t.Fatalf("%+v", g)
		}
		within(t, because(t, c, capped[1].ID, ReasonConcurrency), -1, -1)

		newQueue(t, c, "keyed", "", byKey(KeySpec{Rates: rates(t, "1/1m"), Weight: 1}, nil))
		submitKeys(t, c, "keyed", 1, "acme")
		claimN(t, s, 1)
		acme := mustSubmit(t, c, SubmitRequest{Queue: "keyed", Key: "acme"})
		e = because(t, c, acme.ID, ReasonKey)
		within(t, e, 60, 60)
		if e.Binding.Limit != `key "acme"` {
			t.Errorf("%+v", e.Binding)
		}

		var gone *NotFoundError
		if _, err := c.Explain(ctx, "nosuch"); !errors.As(err, &gone) || gone.Kind != "task" {
			t.Errorf("%v", err)
		}
	})
}

// Slots are those of the handler, also where a worker has others.
func TestExplainSlots(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		newQueue(t, c, "q", "")
		newQueue(t, c, "other", "", func(q *QueueSpec) { q.Handler = "web" })
		ids := submitN(t, c, "q", 3)
		s, err := c.Register(ctx, Worker{
			ID: "w", Pools: []string{DefaultPool}, Indexes: []string{"default:echo", "default:web"}, Slots: map[string]int{"echo": 2, "web": 2}, Lease: 10 * time.Second,
		})
		if err != nil {
			t.Fatal(err)
		}
		submitN(t, c, "other", 2)
		if _, _, _, err := s.Exchange(ctx, nil, &Claim{Slots: []Slots{{"default:web", 2}}}); err != nil {
			t.Fatal(err)
		}
		claimN(t, s, 1)
		because(t, c, ids[1].ID, ReasonReady) // three run, one of them in the handler's two slots
		claimN(t, s, 1)
		e := because(t, c, ids[2].ID, ReasonNoSlots)
		within(t, e, -1, -1)
		if _, err := c.Register(ctx, Worker{ID: "v", Pools: []string{DefaultPool}, Slots: map[string]int{"echo": 1}, Lease: 10 * time.Second}); err != nil {
			t.Fatal(err)
		}
		because(t, c, ids[2].ID, ReasonReady)
	})
}

// Of a task far behind, the range is all that its queue can mean.
func TestExplainFarBehind(t *testing.T) {
	t.Parallel()
	c := onRedis(t)
	newQueue(t, c, "q", "100/1s:100")
	newWorker(t, c, "w")
	ids := submitN(t, c, "q", 12_000)
	e := because(t, c, ids[11_999].ID, ReasonRate)
	if e.Task.Position != -1 {
		t.Errorf("position %d", e.Task.Position)
	}
	within(t, e, 99, 119)
}

// Whose worker has lost its lease, is running in nobody's hands.
func TestExplainLostWorker(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		newQueue(t, c, "q", "")
		id := submitN(t, c, "q", 1)[0].ID
		s := newWorker(t, c, "w")
		claimN(t, s, 1)
		because(t, c, id, ReasonRunning)
		forward(t, c, time.Minute)
		because(t, c, id, ReasonWorkerLost)
	})
}
