package scheduler

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestIdleQueuesExpire(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		soon := func(s *QueueSpec) { s.ExpireAfter = time.Second }
		newQueue(t, c, "idle", "", soon)
		newQueue(t, c, "busy", "", soon)
		newQueue(t, c, "owing", "1/1h:2", soon) // its bucket is not full for an hour
		newQueue(t, c, "stays", "")
		declared := DefaultQueue("echo")
		declared.ExpireAfter = time.Second
		if err := c.Apply(ctx, Declaration{Owner: "o", Queues: map[string]QueueSpec{"declared": declared}}); err != nil {
			t.Fatal(err)
		}
		s := newWorker(t, c, "w")
		for i := range 300 {
			if _, err := c.Submit(ctx, SubmitRequest{Queue: "idle", ID: fmt.Sprintf("i%d", i)}); err != nil {
				t.Fatal(err)
			}
		}
		submitN(t, c, "owing", 1)
		for done := 0; done < 301; {
			var out []Outcome
			for _, g := range claimN(t, s, 128).Grants {
				out = append(out, report(g, Done, 0, ""))
			}
			settle(t, s, out...)
			done += len(out)
		}
		submitN(t, c, "busy", 1)
		g := nextGrant(t, s)
		start := statusOf(t, c, "idle").At
		for deadline := time.Now().Add(10 * time.Second); ; {
			tick(t, s)
			checkInvariants(t, c)
			_, err := c.Queue(ctx, "idle")
			var gone *NotFoundError
			if errors.As(err, &gone) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("the idle queue stays")
			}
			time.Sleep(5 * time.Millisecond) // between ticks
		}
		now, err := c.Now(ctx)
		if err != nil || now.Sub(start) < 900*time.Millisecond {
			t.Errorf("gone after %s, %v", now.Sub(start), err)
		}
		for _, name := range []string{"busy", "owing", "stays", "declared"} {
			statusOf(t, c, name)
		}
		settle(t, s, report(g, Done, 0, ""))
		newQueue(t, c, "idle", "")
		if _, err := c.Submit(ctx, SubmitRequest{Queue: "idle", ID: "i7"}); err != nil {
			t.Errorf("the ids of its tasks are not free: %v", err)
		}
	})
}

// A task that was cancelled before it ran is a use of its queue too.
func TestSubmitIsAUse(t *testing.T) {
	ctx := context.Background()
	now := time.UnixMicro(1_800_000_000_000_000)
	m, conn, c := standingClock(t, now)
	defer conn.Close()
	newQueue(t, c, "q", "", func(s *QueueSpec) { s.ExpireAfter = time.Minute })
	s := newWorker(t, c, "w")
	at := func(passed time.Duration) {
		m.SetTime(now.Add(passed))
		tick(t, s)
	}
	at(50 * time.Second)
	r := submitN(t, c, "q", 1)
	if _, err := c.Cancel(ctx, r[0].ID); err != nil {
		t.Fatal(err)
	}
	at(61 * time.Second)
	at(109 * time.Second)
	statusOf(t, c, "q")
	at(111 * time.Second)
	at(112 * time.Second)
	var gone *NotFoundError
	if _, err := c.Queue(ctx, "q"); !errors.As(err, &gone) {
		t.Errorf("it stays: %v", err)
	}
}
