package scheduler

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestCancel(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		newQueue(t, c, "q", "")
		s := newWorker(t, c, "w")
		stops := make(chan string, 1)
		listening, end := context.WithCancel(ctx)
		defer end()
		if err := s.Listen(listening, func(x Signal) {
			if x.Stop != "" {
				stops <- x.Stop
			}
		}); err != nil {
			t.Fatal(err)
		}
		r := submitN(t, c, "q", 6)
		later, err := c.Submit(ctx, SubmitRequest{Queue: "q", ID: "later", In: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		cancel := func(id, from string) {
			t.Helper()
			if state, err := c.Cancel(ctx, id); err != nil || state != from {
				t.Errorf("cancel %s: was %q, %v; want %q", id, state, err, from)
			}
			checkInvariants(t, c)
		}
		g := claimN(t, s, 2).Grants
		cancel(later.ID, "scheduled")
		cancel(r[3].ID, "waiting")
		settle(t, s, report(g[0], GiveBack, 0, ""))
		cancel(r[0].ID, "waiting") // at the front
		cancel(r[1].ID, "running")
		select {
		case id := <-stops:
			if id != g[1].Internal {
				t.Errorf("told to stop %s", id)
			}
		case <-time.After(5 * time.Second):
			t.Error("the worker was not told")
		}
		if b := tick(t, s); len(b.Stops) != 1 {
			t.Errorf("its tick tells %v", b.Stops)
		}
		settle(t, s, report(g[1], Cancelled, 0, ""))
		if b := tick(t, s); len(b.Stops) != 0 {
			t.Errorf("settled, its tick still tells %v", b.Stops)
		}
		if _, err := c.Cancel(ctx, r[3].ID); !errors.Is(err, ErrConflict) {
			t.Errorf("cancelled twice: %v", err)
		}
		for _, id := range []string{"later", r[0].ID, r[1].ID, r[3].ID} {
			if x := task(t, c, id); x.State != "cancelled" {
				t.Errorf("task %s is %s", id, x.State)
			}
		}
		var got []string
		for _, x := range claimN(t, s, 10).Grants {
			got = append(got, x.ID)
		}
		if len(got) != 3 || got[0] != r[2].ID || got[1] != r[4].ID {
			t.Errorf("the rest is %v", got)
		}
		checkInvariants(t, c)
	})
}

// Cancelled tasks stay in the list until their turn; however many, they neither run
// nor keep the others from running.
func TestManyCancelledTasks(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		newQueue(t, c, "q", "", func(s *QueueSpec) { s.History = 100 })
		s := newWorker(t, c, "w")
		r := submitN(t, c, "q", 1500)
		for _, x := range r[:1499] {
			if _, err := c.Cancel(ctx, x.ID); err != nil {
				t.Fatal(err)
			}
		}
		checkInvariants(t, c)
		var got []Grant
		for i := 0; len(got) == 0; i++ {
			if i == 10 {
				t.Fatal("the last task does not come")
			}
			got = claimN(t, s, 4).Grants
			checkInvariants(t, c)
		}
		if len(got) != 1 || got[0].ID != r[1499].ID {
			t.Errorf("got %d", len(got))
		}
	})
}
