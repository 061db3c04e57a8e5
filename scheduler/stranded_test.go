package scheduler

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// The tests of this file: what can start is come for, whatever happened before.

// serving registers a worker of some indexes.
func serving(t *testing.T, c *Client, id string, indexes ...string) *Session {
	t.Helper()
	s, err := c.Register(context.Background(), Worker{ID: id, Pools: []string{"default"}, Indexes: indexes, Lease: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ask claims in this order of indexes, and takes nothing ahead of its instant.
func ask(t *testing.T, s *Session, indexes ...string) *Granted {
	t.Helper()
	claim := &Claim{}
	for _, index := range indexes {
		claim.Slots = append(claim.Slots, Slots{index, 8})
	}
	g, _, _, err := s.Exchange(context.Background(), nil, claim)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A queue whose task is over the limit's burst, and which then changes its handler, starts
// when the burst allows it again, in whatever order its indexes are asked.
func TestQueueThatMovedWhileItsTaskWasImpossible(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		newLimit(t, c, "l", "10/1s:50", 0)
		newQueue(t, c, "q", "", under("l"))
		s := serving(t, c, "w", "default:echo", "default:web")
		mustSubmit(t, c, cost("q", map[string]int64{"l": 50}))
		newLimit(t, c, "l", "10/1s:5", 0)
		ask(t, s, "default:echo", "default:web")
		must(t, c.UpdateQueue(ctx, "q", QueueChange{Handler: ptr("web")}))
		ask(t, s, "default:echo", "default:web")
		newLimit(t, c, "l", "10/1s:50", 0)
		forward(t, c, 10*time.Second)
		for _, order := range [][]string{{"default:echo", "default:web"}, {"default:web", "default:echo"}} {
			if byQueue(ask(t, s, order...).Grants)["q"] == 1 {
				return
			}
		}
		t.Error("the task is possible, and nobody comes for it")
		checkInvariants(t, c)
	})
}

// A queue that was noted as waiting for a larger burst, and waits at its limit since, is not
// put into the due index beside that: who has slots would come for it without end.
func TestQueueThatRecoveredIsInOnePlace(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		newLimit(t, c, "l", "1/1m:50", 0)
		newQueue(t, c, "q", "", under("l"))
		s := serving(t, c, "w", "default:echo")
		dear := mustSubmit(t, c, cost("q", map[string]int64{"l": 50}))
		submitN(t, c, "q", 20)
		newLimit(t, c, "l", "1/1m:5", 0)
		ask(t, s, "default:echo")
		_, err := c.Cancel(ctx, dear.ID)
		must(t, err)
		newLimit(t, c, "l", "1/1m:4", 0)
		if n := len(ask(t, s, "default:echo").Grants); n != 4 {
			t.Errorf("%d grants of a burst of 4", n)
		}
		if g := ask(t, s, "default:echo"); len(g.Grants) > 0 || g.Indexes[0].In < 30*time.Second {
			t.Errorf("%d grants, next in %v", len(g.Grants), g.Indexes[0].In)
		}
		if err := c.rdb.ZScore(ctx, c.keys.prefix+"due:default:echo", "q").Err(); err != redis.Nil {
			t.Errorf("q waits at its limit and is due: %v", err)
		}
		checkInvariants(t, c)
	})
}

// A dear task that nobody serves any more delays those of other indexes for a part of the
// time that it would wait, not for all of it.
func TestDearTaskWithoutAWorkerDelaysNoOtherIndex(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		newLimit(t, c, "l", "1000/1d:1000", 0)
		newQueue(t, c, "x", "", under("l"))
		newQueue(t, c, "y", "", under("l"), func(s *QueueSpec) { s.Handler = "web" })
		sx, sy := serving(t, c, "wx", "default:echo"), serving(t, c, "wy", "default:web")
		mustSubmit(t, c, cost("x", map[string]int64{"l": 1000}))
		if n := len(ask(t, sx, "default:echo").Grants); n != 1 {
			t.Fatal(n)
		}
		submitN(t, c, "y", 1)
		mustSubmit(t, c, cost("x", map[string]int64{"l": 1000}))
		ask(t, sx, "default:echo")
		must(t, sx.Leave(ctx))
		waited := time.Duration(0)
		for range 20 {
			g := ask(t, sy, "default:web")
			if len(g.Grants) == 1 {
				break
			}
			in := g.Indexes[0].In
			if in <= 0 {
				in = time.Second
			}
			forward(t, c, in)
			waited += in
		}
		t.Logf("waited %v", waited)
		if waited > 2*time.Hour { // a token comes each 86 s, the dear task's in a day
			t.Errorf("waited for %v", waited)
		}
	})
}

// Where somebody serves it, a dear task of another index is waited for, also when its wait is
// long and others have their look before.
func TestDearTaskOfAnotherIndexIsWaitedFor(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		newLimit(t, c, "l", "10/1s:50", 0)
		newQueue(t, c, "x", "", under("l"))
		newQueue(t, c, "y", "", under("l"), func(s *QueueSpec) { s.Handler = "web" })
		sx, sy := serving(t, c, "wx", "default:echo"), serving(t, c, "wy", "default:web")
		submitN(t, c, "y", 500)
		ask(t, sx, "default:echo") // it waits for work
		for len(ask(t, sy, "default:web").Grants) > 0 {
		}
		mustSubmit(t, c, cost("x", map[string]int64{"l": 50}))
		starts := map[string]int{}
		for waited := time.Duration(0); starts["x"] == 0 && waited < time.Minute; waited += 100 * time.Millisecond {
			forward(t, c, 100*time.Millisecond)
			for _, g := range append(ask(t, sy, "default:web").Grants, ask(t, sx, "default:echo").Grants...) {
				starts[g.Queue]++
			}
		}
		t.Logf("%v", starts)
		if starts["x"] != 1 || starts["y"] > 10 {
			t.Errorf("started until the dear task was: %v", starts)
		}
		checkInvariants(t, c)
	})
}

// What a limit keeps for a queue that is first at another one is free when that one goes.
func TestFirstThatLeavesFreesWhatIsKeptForIt(t *testing.T) {
	for _, how := range []string{"pause", "purge", "remove", "relimit"} {
		t.Run(how, func(t *testing.T) {
			onBoth(t, func(t *testing.T, c *Client) {
				ctx := context.Background()
				newLimit(t, c, "l", "1/1h:2", 0)
				newLimit(t, c, "m", "1000/1s:1000", 1)
				newQueue(t, c, "z", "", under("m"))
				newQueue(t, c, "q", "", under("l", "m"))
				newQueue(t, c, "a", "", under("l"))
				s := serving(t, c, "w", "default:echo")
				submitN(t, c, "z", 1)
				submitN(t, c, "a", 1)
				ask(t, s, "default:echo") // a has had its turn
				submitN(t, c, "q", 1)
				submitN(t, c, "a", 1)
				if n := len(ask(t, s, "default:echo").Grants); n != 0 {
					t.Fatalf("%d grants: the token is q's", n)
				}
				var err error
				switch how {
				case "pause":
					err = c.Pause(ctx, "q")
				case "purge":
					_, err = c.Purge(ctx, "q")
				case "remove":
					err = c.RemoveQueue(ctx, "q", true)
				case "relimit":
					err = c.UpdateQueue(ctx, "q", QueueChange{Limits: &[]string{"m"}})
				}
				must(t, err)
				g := ask(t, s, "default:echo")
				if byQueue(g.Grants)["a"] != 1 {
					t.Errorf("the token is free: granted %v, next in %v", byQueue(g.Grants), g.Indexes[0].In)
				}
				checkInvariants(t, c)
			})
		})
	}
}

// A place that comes free beside one that is kept is given at once.
func TestPlaceBesideAKeptOneIsGivenAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		newLimit(t, c, "l", "100/1m:100", 2)
		newLimit(t, c, "m", "1000/1s:1000", 1)
		newQueue(t, c, "z", "", under("m"))
		newQueue(t, c, "q", "", under("l", "m"))
		newQueue(t, c, "a", "", under("l"))
		s := serving(t, c, "w", "default:echo")
		submitN(t, c, "z", 1)
		ask(t, s, "default:echo")
		submitN(t, c, "q", 1)
		submitN(t, c, "a", 3)
		g := ask(t, s, "default:echo").Grants
		if byQueue(g)["a"] != 1 {
			t.Fatalf("granted %v: one place is kept for q", byQueue(g))
		}
		settle(t, s, report(g[0], Done, 0, ""))
		next := ask(t, s, "default:echo")
		if byQueue(next.Grants)["a"] != 1 {
			t.Errorf("a place is free: granted %v, next in %v", byQueue(next.Grants), next.Indexes[0].In)
		}
		checkInvariants(t, c)
	})
}

// A key that gets tokens back may start at once.
func TestCreditOfAKeyBringsItsQueueBack(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		newQueue(t, c, "q", "", byKey(KeySpec{Rates: rates(t, "1/1h"), Weight: 1}, nil))
		s := serving(t, c, "w", "default:echo")
		submitKeys(t, c, "q", 2, "a")
		g := ask(t, s, "default:echo").Grants
		if len(g) != 1 {
			t.Fatalf("%d grants", len(g))
		}
		o := report(g[0], Done, 0, "")
		o.Actual = map[string]int64{"key": 0}
		settle(t, s, o)
		next := ask(t, s, "default:echo")
		if len(next.Grants) != 1 {
			t.Errorf("the key has its token back: %d grants, next in %v", len(next.Grants), next.Indexes[0].In)
		}
		checkInvariants(t, c)
	})
}

// Without look-ahead too, a worker that was told that its queue goes first finds the token.
func TestTurnsAcrossIndexesWithoutLookahead(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		newLimit(t, c, "api", "50/1s:1", 0)
		newQueue(t, c, "near", "", under("api"))
		newQueue(t, c, "far", "", under("api"), func(s *QueueSpec) { s.Handler = "web" })
		submitN(t, c, "near", 400)
		submitN(t, c, "far", 400)
		near, far := serving(t, c, "near", "default:echo"), serving(t, c, "far", "default:web")
		starts := map[string]int{}
		for range 300 { // the near worker is always first to ask
			for _, g := range append(ask(t, near, "default:echo").Grants, ask(t, far, "default:web").Grants...) {
				starts[g.Queue]++
			}
			forward(t, c, 20*time.Millisecond)
		}
		t.Logf("%v", starts)
		if starts["near"] < 100 || starts["far"] < 100 || starts["near"]+starts["far"] < 285 {
			t.Errorf("%v of 300", starts)
		}
		checkInvariants(t, c)
	})
}
