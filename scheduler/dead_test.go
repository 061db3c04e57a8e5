package scheduler

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

func TestDeadTasks(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		newQueue(t, c, "q", "")
		s := newWorker(t, c, "w")
		for i := range 450 {
			if _, err := c.Submit(ctx, SubmitRequest{Queue: "q", ID: fmt.Sprintf("t%03d", i)}); err != nil {
				t.Fatal(err)
			}
		}
		for range 5 { // each claim's tasks die in one call, at one instant
			var out []Outcome
			for _, g := range claimN(t, s, 90).Grants {
				out = append(out, report(g, Dead, 0, fmt.Sprintf("error %c", g.ID[3])))
			}
			settle(t, s, out...)
		}
		seen := 0
		if err := c.EachDead(ctx, "q", func(x Task) error {
			seen++
			switch {
			case x.LastError == "error 7":
				_, err := c.RetryTask(ctx, x.ID)
				return err
			case x.LastError == "error 3":
				return c.DeleteDead(ctx, x.ID)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		q := statusOf(t, c, "q")
		if seen != 450 || q.Waiting != 45 || q.Dead != 360 {
			t.Errorf("%d seen, %d wait again, %d are dead", seen, q.Waiting, q.Dead)
		}
		if err := c.DeleteDead(ctx, "t007"); !errors.Is(err, ErrConflict) {
			t.Errorf("delete of a waiting task: %v", err)
		}
		var unknown *NotFoundError
		if err := c.DeleteDead(ctx, "t003"); !errors.As(err, &unknown) {
			t.Errorf("deleted twice: %v", err)
		}
		if _, err := c.Submit(ctx, SubmitRequest{Queue: "q", ID: "t003"}); err != nil {
			t.Errorf("the id of a deleted task is not free: %v", err)
		}
		checkInvariants(t, c)
	})
}
