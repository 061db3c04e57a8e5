package scheduler

import (
	"context"
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
		seen, retried, deleted := 0, 0, 0
		var threes []Task
		if err := c.EachDead(ctx, "q", func(page []Task) error {
			var sevens, page3 []Task
			for _, x := range page {
				seen++
				switch x.LastError {
				case "error 7":
					sevens = append(sevens, x)
				case "error 3":
					page3 = append(page3, x)
				}
			}
			n, err := c.RetryDead(ctx, sevens)
			if err != nil {
				return err
			}
			retried += n
			n, err = c.DeleteDead(ctx, page3)
			deleted += n
			threes = append(threes, page3...)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		q := statusOf(t, c, "q")
		if seen != 450 || retried != 45 || deleted != 45 || q.Waiting != 45 || q.Dead != 360 {
			t.Errorf("%d seen, %d retried, %d deleted, %d wait again, %d are dead", seen, retried, deleted, q.Waiting, q.Dead)
		}
		waits, err := c.Task(ctx, "t007")
		if err != nil {
			t.Fatal(err)
		}
		for _, moved := range [][]Task{threes, {waits}} { // deleted before, and not dead
			if n, err := c.DeleteDead(ctx, moved); n != 0 || err != nil {
				t.Errorf("%d deleted again, %v", n, err)
			}
			if n, err := c.RetryDead(ctx, moved); n != 0 || err != nil {
				t.Errorf("%d retried that are not dead, %v", n, err)
			}
		}
		if _, err := c.Submit(ctx, SubmitRequest{Queue: "q", ID: "t003"}); err != nil {
			t.Errorf("the id of a deleted task is not free: %v", err)
		}
		checkInvariants(t, c)
	})
}
