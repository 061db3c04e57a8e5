package scheduler

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// shortLived registers a worker with a lease of its own.
func shortLived(t *testing.T, c *Client, id string, lease time.Duration) *Session {
	t.Helper()
	s, err := c.Register(context.Background(), Worker{ID: id, Pools: []string{"default"}, Indexes: []string{"default:echo"}, Slots: map[string]int{"echo": 64}, Lease: lease, Started: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func tick(t *testing.T, s *Session) Beat {
	t.Helper()
	b, err := s.Tick(context.Background(), []Slots{{"default:echo", 8}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDeadWorkersTasksWaitAgain(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		newQueue(t, c, "q", "")
		r := submitN(t, c, "q", 300)
		dead := shortLived(t, c, "dead", 200*time.Millisecond)
		tick(t, dead)
		var held []Grant
		for len(held) < 250 {
			held = append(held, claimN(t, dead, 64).Grants...)
		}
		alive := newWorker(t, c, "alive")
		reaped := 0
		for deadline := time.Now().Add(5 * time.Second); reaped < len(held); {
			reaped += tick(t, alive).Reaped
			checkInvariants(t, c)
			if time.Now().After(deadline) {
				t.Fatalf("%d of %d taken back", reaped, len(held))
			}
		}
		if n := settle(t, dead, report(held[0], Done, 0, "late")); n != 1 {
			t.Error("a reaped worker settled a task")
		}
		_, _, _, err := dead.Exchange(context.Background(), nil, &Claim{Slots: []Slots{{"default:echo", 1}}})
		if !errors.Is(err, ErrLeaseLost) {
			t.Errorf("claim of a reaped worker: %v", err)
		}
		for i := 0; i < 300; {
			for _, g := range claimN(t, alive, 64).Grants {
				if g.ID != r[i].ID || g.Attempt != 1 {
					t.Fatalf("task %d is %s attempt %d, want %s", i, g.ID, g.Attempt, r[i].ID)
				}
				i++
			}
		}
		ws, err := c.Workers(context.Background())
		if err != nil || len(ws) != 1 || ws[0].ID != "alive" || ws[0].Running != 300 {
			t.Errorf("%+v %v", ws, err)
		}
		checkInvariants(t, c)
	})
}

// After two seconds in which nobody ticked, no lease counts as run out.
func TestOutageRenewsEveryLease(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		newQueue(t, c, "q", "")
		submitN(t, c, "q", 5)
		a, b := shortLived(t, c, "a", time.Second), shortLived(t, c, "b", time.Second)
		tick(t, a)
		tick(t, b)
		g := claimN(t, a, 5).Grants
		time.Sleep(2100 * time.Millisecond) // the outage itself
		if n := tick(t, b).Reaped; n != 0 {
			t.Errorf("%d tasks taken from a worker that was cut off like all others", n)
		}
		tick(t, a)
		for _, x := range g {
			if settle(t, a, report(x, Done, 0, "")) != 0 {
				t.Error("an outcome was refused after an outage")
			}
		}
	})
}

// outage has a worker tick as the first after an outage, in which the lease of another ran
// out. It returns how long that lease is to last then.
func outage(t *testing.T, c *Client, first *Session, other string) time.Duration {
	t.Helper()
	ctx := context.Background()
	err := errors.Join(
		c.rdb.HIncrBy(ctx, c.keys.clock(), "tick", -3_000_000).Err(),
		c.rdb.ZAdd(ctx, c.keys.workers(), redis.Z{Score: 1, Member: other}).Err(),
	)
	if err != nil {
		t.Fatal(err)
	}
	if tick(t, first).Reaped > 0 {
		t.Fatal("the first after an outage takes tasks back")
	}
	now, err := c.Now(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return time.UnixMicro(int64(c.rdb.ZScore(ctx, c.keys.workers(), other).Val())).Sub(now)
}

// A worker that died is taken for one that was cut off three times, not for ever: one whose
// successors die early too has its tasks taken back. A live one is excused each time.
func TestDeadWorkerIsExcusedThreeTimes(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		newQueue(t, c, "q", "")
		submitN(t, c, "q", 5)
		dead, alive := shortLived(t, c, "dead", 10*time.Second), shortLived(t, c, "alive", 10*time.Second)
		tick(t, dead)
		tick(t, alive)
		claimN(t, dead, 5)
		for i := range 5 {
			if left := outage(t, c, alive, "dead"); left < 9*time.Second || left > 10*time.Second {
				t.Errorf("outage %d of a worker that ticks in between: %v left, want its lease", i+1, left)
			}
			tick(t, dead)
		}
		for i, most := range []time.Duration{10, 6, 6} {
			most *= time.Second
			if left := outage(t, c, alive, "dead"); left < most-time.Second || left > most {
				t.Errorf("outage %d of a dead one: %v left, want %v", i+1, left, most)
			}
		}
		if left := outage(t, c, alive, "dead"); left > 0 {
			t.Errorf("excused for the fourth time: %v left", left)
		}
		if n := tick(t, alive).Reaped; n != 5 {
			t.Errorf("%d tasks taken back", n)
		}
		checkInvariants(t, c)
	})
}

// Dead workers that hold nothing do not stand before the one that holds tasks.
func TestIdleDeadWorkersAreForgottenAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		newQueue(t, c, "q", "")
		submitN(t, c, "q", 5)
		alive := newWorker(t, c, "alive")
		const idle = 30
		for i := range idle {
			shortLived(t, c, fmt.Sprintf("idle%d", i), time.Millisecond)
		}
		last := shortLived(t, c, "last", 2*time.Millisecond)
		claimN(t, last, 5)
		tick(t, alive)
		ticks := 0
		for reaped, more := 0, true; reaped < 5; ticks++ {
			if !more && ticks > 3 {
				t.Fatalf("%d tasks after %d ticks, and no more is said to come", reaped, ticks)
			}
			b := tick(t, alive)
			reaped, more = reaped+b.Reaped, b.More
		}
		if n := c.rdb.ZCard(context.Background(), c.keys.workers()).Val(); ticks > 4 || n != 1 {
			t.Errorf("%d workers are left after %d ticks", n, ticks)
		}
	})
}

func TestLeaveGivesBack(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		newQueue(t, c, "q", "")
		r := submitN(t, c, "q", 3)
		a, b := newWorker(t, c, "a"), newWorker(t, c, "b")
		claimN(t, a, 2)
		if err := a.Leave(context.Background()); err != nil {
			t.Fatal(err)
		}
		g := claimN(t, b, 3).Grants
		if len(g) != 3 || g[0].ID != r[0].ID || g[2].ID != r[2].ID {
			t.Errorf("%d grants", len(g))
		}
		checkInvariants(t, c)
	})
}

func TestTickFindsWhatWasMissed(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		newQueue(t, c, "q", "")
		s := newWorker(t, c, "w")
		claimN(t, s, 8)
		submitN(t, c, "q", 1) // nobody listens: the wake is lost
		for deadline := time.Now().Add(5 * time.Second); !tick(t, s).Claim; {
			if time.Now().After(deadline) {
				t.Fatal("the task is never found")
			}
		}
	})
}
