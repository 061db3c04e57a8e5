package scheduler

import (
	"testing"
	"time"
)

// An outcome under a fence that is no longer in force changes nothing, also of the worker
// that holds the task anew.
func TestOldFenceSettlesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		newQueue(t, c, "q", "")
		s := newWorker(t, c, "w")
		submitN(t, c, "q", 1)
		old := nextGrant(t, s)
		settle(t, s, report(old, GiveBack, 0, ""))
		now := nextGrant(t, s)
		if now.ID != old.ID || now.Fence <= old.Fence {
			t.Fatalf("granted %s under %d after %d", now.ID, now.Fence, old.Fence)
		}
		for _, kind := range []string{Done, Failed, Dead, GiveBack, Cancelled} {
			if settle(t, s, report(old, kind, 0, "")) != 1 {
				t.Errorf("%s counts under an old fence", kind)
			}
		}
		if q := statusOf(t, c, "q"); q.Running != 1 || q.Waiting+q.Dead+q.Scheduled != 0 {
			t.Errorf("%+v", q)
		}
		if settle(t, s, report(now, Done, 0, "")) != 0 {
			t.Error("the fence in force does not count")
		}
		checkInvariants(t, c)
	})
}

// Of two freezes the later end holds, whichever is told last.
func TestLaterFreezeHolds(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		newQueue(t, c, "q", "")
		s := newWorker(t, c, "w")
		submitN(t, c, "q", 2)
		g := claimN(t, s, 2).Grants
		settle(t, s, report(g[0], Throttled, time.Hour.Microseconds(), "429"))
		settle(t, s, report(g[1], Throttled, time.Second.Microseconds(), "429"))
		q := statusOf(t, c, "q")
		if d := q.FrozenUntil.Sub(q.At); d < 50*time.Minute {
			t.Errorf("frozen for %v, after an hour and a second were told", d)
		}
	})
}
