package scheduler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTakenIDsAndProgress(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		newQueue(t, c, "q", "")
		if _, err := c.Submit(ctx, SubmitRequest{Queue: "q", ID: "b"}); err != nil {
			t.Fatal(err)
		}
		ids := []string{"a", "b"}
		for range 1500 {
			ids = append(ids, "c")
		}
		got, err := c.Taken(ctx, append(ids, "b"))
		if err != nil || len(got) != 1503 || !got[1] || !got[1502] || slices.Index(got, true) != 1 || slices.Index(got[2:], true) != 1500 {
			t.Errorf("%v", err)
		}
		if n, err := c.Progress(ctx, "x"); n != 0 || err != nil {
			t.Errorf("%d %v", n, err)
		}
		if err := c.SetProgress(ctx, "x", 512); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Progress(ctx, "x"); n != 512 || err != nil {
			t.Errorf("%d %v", n, err)
		}
		checkInvariants(t, c)
	})
}

// How far a bulk is stands in Redis if and only if its part is in, by the short script and by
// the long one, into a queue where tasks wait and into an empty one.
func TestSubmitPartNotesItsProgress(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		newQueue(t, c, "q", "1/1h")
		newQueue(t, c, "free", "")
		n := int64(0)
		for _, queue := range []string{"q", "free", "q", "free"} {
			for _, kind := range []string{"", "typed"} {
				n += 2
				ids := []string{fmt.Sprint("a", n), fmt.Sprint("b", n)}
				tasks := []SubmitRequest{{ID: ids[0], Type: kind}, {ID: ids[1], Type: kind}}
				r, err := c.SubmitPart(ctx, queue, tasks, "x1", n)
				if err != nil || len(r) != 2 || r[0].ID != ids[0] || r[1].State != "waiting" {
					t.Fatalf("%+v %v", r, err)
				}
				if _, err := c.SubmitPart(ctx, queue, tasks, "x1", n+1); !errors.Is(err, ErrTaskExists) {
					t.Errorf("the same again: %v", err)
				}
				if got, err := c.Progress(ctx, "x1"); got != n || err != nil {
					t.Errorf("progress %d %v, want %d", got, err, n)
				}
			}
		}
		if ttl := c.rdb.TTL(ctx, c.keys.bulk("x1")).Val(); ttl < 29*24*time.Hour {
			t.Errorf("it is known for %v only", ttl)
		}
		if _, err := c.SubmitPart(ctx, "q", nil, "x1", 99); err != nil {
			t.Error(err)
		}
		if got, _ := c.Progress(ctx, "x1"); got != 99 {
			t.Errorf("progress %d of a part without tasks", got)
		}
		for _, bad := range []string{"", "a b", "a:b"} {
			if _, err := c.SubmitPart(ctx, "q", make([]SubmitRequest, 1), bad, 1); err == nil {
				t.Errorf("bulk %q is taken", bad)
			}
		}
		if _, err := c.SubmitPart(ctx, "q", make([]SubmitRequest, SubmitCall+1), "x1", 1); err == nil {
			t.Error("more than one call takes")
		}
		checkInvariants(t, c)
	})
}

func TestValidateARequestWithoutRedis(t *testing.T) {
	for _, row := range []struct {
		r    SubmitRequest
		says string
	}{
		{SubmitRequest{Payload: []byte("{}")}, ""},
		{SubmitRequest{Payload: make([]byte, 101)}, "has 101 bytes; at most 100"},
		{SubmitRequest{ID: "a b"}, "task id"},
	} {
		err := row.r.Validate(100)
		if (err == nil) != (row.says == "") || err != nil && !strings.Contains(err.Error(), row.says) {
			t.Errorf("%+v: %v, want %q", row.r, err, row.says)
		}
	}
}

func TestRunsOfAWorker(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		newQueue(t, c, "q", "")
		newQueue(t, c, "slow", "1/1s")
		s := newWorker(t, c, "w")
		if runs, err := c.Runs(ctx, "w"); len(runs) != 0 || err != nil {
			t.Errorf("%v %v", runs, err)
		}
		submitN(t, c, "q", 2)
		submitN(t, c, "slow", 1)
		grants := claimN(t, s, 8).Grants
		runs, err := c.Runs(ctx, "w")
		if err != nil || len(runs) != 3 {
			t.Fatalf("%v %v", runs, err)
		}
		for _, r := range runs {
			i := slices.IndexFunc(grants, func(g Grant) bool { return g.Internal == r.Task })
			if i < 0 || grants[i].Queue != r.Queue || grants[i].Fence != r.Fence || !grants[i].GrantedAt.Equal(r.Start) {
				t.Errorf("%+v is no grant of %+v", r, grants)
			}
		}
	})
}

// A queue that is not empty when it is to go stays as it was.
func TestRefusedRemovalLeavesTheQueueActive(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		newQueue(t, c, "q", "")
		s := newWorker(t, c, "w")
		submitN(t, c, "q", 1)
		g := nextGrant(t, s)
		if err := c.RemoveQueue(ctx, "q", false); err == nil {
			t.Fatal("removed")
		}
		settle(t, s, report(g, Done, 0, ""))
		submitN(t, c, "q", 1)
		if q := statusOf(t, c, "q"); q.Held != "" || q.Waiting != 1 {
			t.Errorf("%+v", q)
		}
	})
}
