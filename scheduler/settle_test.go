package scheduler

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// oneGrant submits a task and claims it.
func oneGrant(t *testing.T, c *Client, s *Session, queue string) Grant {
	t.Helper()
	submitN(t, c, queue, 1)
	return nextGrant(t, s)
}

// nextGrant claims until a task comes.
func nextGrant(t *testing.T, s *Session) Grant {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		if g := claimN(t, s, 1); len(g.Grants) > 0 {
			return g.Grants[0]
		}
	}
	t.Fatal("no task comes")
	return Grant{}
}

func report(g Grant, kind string, number int64, text string) Outcome {
	return Outcome{Task: g.Internal, Fence: g.Fence, Kind: kind, Number: number, Text: text}
}

func task(t *testing.T, c *Client, id string) Task {
	t.Helper()
	x, err := c.Task(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestRetriesThenDead(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		newQueue(t, c, "q", "", func(s *QueueSpec) {
			s.Retry = Retry{MaxAttempts: 3, Min: 4 * time.Millisecond, Max: 6 * time.Millisecond, Jitter: 0.5}
		})
		s := newWorker(t, c, "w")
		g := oneGrant(t, c, s, "q")
		for attempt, want := range []struct{ min, max time.Duration }{{2, 4}, {3, 6}} {
			if g.Attempt != attempt+1 || g.MaxAttempts != 3 {
				t.Errorf("attempt %d of %d, want %d of 3", g.Attempt, g.MaxAttempts, attempt+1)
			}
			settle(t, s, report(g, Failed, 999_999, fmt.Sprintf("error %d", attempt+1)))
			x := task(t, c, g.ID)
			q := statusOf(t, c, "q")
			if x.State == "scheduled" {
				if d := x.At.Sub(q.At); d > want.max*time.Millisecond {
					t.Errorf("retry %d in %s", attempt+1, d)
				}
			}
			if x.LastError != fmt.Sprintf("error %d", attempt+1) || x.Attempts != attempt+1 {
				t.Errorf("%+v", x)
			}
			checkInvariants(t, c)
			g = nextGrant(t, s)
		}
		settle(t, s, report(g, Failed, 0, "the end"))
		if x := task(t, c, g.ID); x.State != "dead" || x.LastError != "the end" || x.Attempts != 3 {
			t.Errorf("%+v", x)
		}
		if q := statusOf(t, c, "q"); q.Failed != 3 || q.Dead != 1 || q.Completed != 0 {
			t.Errorf("failed %d, dead %d", q.Failed, q.Dead)
		}
		if _, err := c.RetryTask(context.Background(), g.ID); err != nil {
			t.Fatal(err)
		}
		if g = nextGrant(t, s); g.Attempt != 1 {
			t.Errorf("a dead task that is retried has attempt %d", g.Attempt)
		}
		checkInvariants(t, c)
	})
}

func TestRetryDelayGrowsToMax(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		newQueue(t, c, "q", "", func(s *QueueSpec) {
			s.Retry = Retry{MaxAttempts: 50, Min: time.Second, Max: time.Minute, Jitter: 0.5}
		})
		s := newWorker(t, c, "w")
		g := oneGrant(t, c, s, "q")
		for k := 1; k <= 10; k++ {
			random := int64(k * 99_999)
			settle(t, s, report(g, Failed, random, "x"))
			base := min(time.Second<<(k-1), time.Minute)
			want := base - base/2*time.Duration(random)/1_000_000
			q := statusOf(t, c, "q")
			d := task(t, c, g.ID).At.Sub(q.At)
			if d > want+time.Microsecond || d < want-500*time.Millisecond {
				t.Errorf("retry %d with random part %d: in %s, want %s", k, random, d, want)
			}
			if _, err := c.RetryTask(context.Background(), g.ID); err != nil {
				t.Fatal(err)
			}
			g = nextGrant(t, s)
		}
	})
}

func TestThrottledFreezesTheQueue(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		newQueue(t, c, "q", "1000/1s:10")
		newQueue(t, c, "other", "")
		s := newWorker(t, c, "w")
		submitN(t, c, "q", 3)
		g := claimN(t, s, 2).Grants
		settle(t, s, report(g[1], Throttled, 120_000, "429"), report(g[0], Throttled, 100_000, "429"))
		q := statusOf(t, c, "q")
		if d := q.FrozenUntil.Sub(q.At); q.BlockedBy != "frozen" || d < 60*time.Millisecond || d > 120*time.Millisecond {
			t.Errorf("blocked by %q for %s", q.BlockedBy, d)
		}
		submitN(t, c, "other", 1)
		if x := nextGrant(t, s); x.Queue != "other" {
			t.Errorf("%s started while frozen", x.Queue)
		}
		// the look-ahead may reserve, but not before the end of the freeze
		a, b, z := nextGrant(t, s), nextGrant(t, s), nextGrant(t, s)
		if a.ID != g[0].ID || b.ID != g[1].ID || a.Attempt != 1 || z.Attempt != 1 {
			t.Errorf("order after the freeze: %s %s, want %s %s", a.ID, b.ID, g[0].ID, g[1].ID)
		}
		for _, x := range []Grant{a, b, z} {
			if x.GrantedAt.Before(q.FrozenUntil) {
				t.Errorf("granted %s before the end of the freeze", q.FrozenUntil.Sub(x.GrantedAt))
			}
		}
		checkInvariants(t, c)
	})
}

// What a handler tells of a limit that its task was not charged changes no limit, and is
// said; the throttle itself holds for the queue.
func TestLimitsNotCharged(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		newLimit(t, c, "api", "1000/1s:10", 0)
		newLimit(t, c, "other", "1000/1s:10", 0)
		newQueue(t, c, "q", "1000/1s:10", under("api"))
		s := newWorker(t, c, "w")
		submitN(t, c, "q", 4)
		g := claimN(t, s, 4).Grants
		cost, told, plain, slow := report(g[0], Done, 0, ""), report(g[1], Done, 0, ""), report(g[2], Done, 0, ""), report(g[3], Throttled, 100_000, "429")
		cost.Actual = map[string]int64{"api": 2, "queue": 2, "key": 2, "apx": 1, "apy": 5}
		told.Reports = []Report{{Limit: "other", Reset: time.Minute}, {}}
		plain.Reports = []Report{{Limit: "api", Remaining: 100}}
		slow.Limit = "other"
		_, settled, err, _ := s.Exchange(context.Background(), []Outcome{cost, told, plain, slow}, nil)
		if err != nil || settled.Stale != 0 {
			t.Fatal(err, settled.Stale)
		}
		if want := []QueueLimit{{"q", "apx"}, {"q", "apy"}, {"q", "other"}, {"q", "other"}}; !slices.Equal(settled.NotUnder, want) {
			t.Errorf("of limits that were not charged: %v, want %v", settled.NotUnder, want)
		}
		if l := limitOf(t, c, "other"); !l.FrozenUntil.IsZero() {
			t.Errorf("a limit that the queue is not under is frozen until %s", l.FrozenUntil)
		}
		if q := statusOf(t, c, "q"); q.BlockedBy != "frozen" {
			t.Errorf("the queue is not frozen, but blocked by %q", q.BlockedBy)
		}
		checkInvariants(t, c)
	})
}

func TestThrottlesAreBounded(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		newQueue(t, c, "q", "", func(s *QueueSpec) { s.Retry.MaxAttempts = 1 })
		s := newWorker(t, c, "w")
		g := oneGrant(t, c, s, "q")
		for range maxThrottles {
			settle(t, s, report(g, Throttled, 0, "429"))
			g = nextGrant(t, s)
		}
		settle(t, s, report(g, Throttled, 0, "429"))
		if x := task(t, c, g.ID); x.State != "dead" {
			t.Errorf("throttled %d times, the task is %s", maxThrottles+1, x.State)
		}
	})
}

func TestPoisonDiesAtItsThirdCrash(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		newQueue(t, c, "q", "")
		s := newWorker(t, c, "w")
		g := oneGrant(t, c, s, "q")
		for i := range 3 {
			if g.Crashes != i || g.Attempt != 1 {
				t.Errorf("crash %d: %d crashes, attempt %d", i, g.Crashes, g.Attempt)
			}
			settle(t, s, report(g, Crashed, 3, "signal: killed"))
			if i < 2 {
				g = nextGrant(t, s)
			}
		}
		if x := task(t, c, g.ID); x.State != "dead" || x.LastError != "signal: killed" || x.Attempts != 0 {
			t.Errorf("%+v", x)
		}
	})
}

func TestHistoryIsBounded(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		for _, keep := range []int{0, 1, 7} {
			name := fmt.Sprintf("q%d", keep)
			newQueue(t, c, name, "", func(s *QueueSpec) { s.History = keep })
			s := newWorker(t, c, "w"+name)
			for i := range 20 {
				if _, err := c.Submit(context.Background(), SubmitRequest{Queue: name, ID: fmt.Sprintf("%s-%d", name, i)}); err != nil {
					t.Fatal(err)
				}
			}
			for range 4 {
				var out []Outcome
				for _, g := range claimN(t, s, 5).Grants {
					out = append(out, report(g, Done, 0, "result"))
				}
				settle(t, s, out...)
			}
			for i := range 20 {
				x, err := c.Task(context.Background(), fmt.Sprintf("%s-%d", name, i))
				if kept := i >= 20-keep; kept != (err == nil) {
					t.Errorf("history %d: task %d: %+v %v", keep, i, x, err)
				}
			}
			// an id is free again when its task is forgotten
			if _, err := c.Submit(context.Background(), SubmitRequest{Queue: name, ID: name + "-0"}); err != nil {
				t.Error(err)
			}
			if q := statusOf(t, c, name); q.Completed != 20 {
				t.Errorf("completed %d", q.Completed)
			}
			if _, err := c.Purge(context.Background(), name); err != nil {
				t.Fatal(err)
			}
		}
		checkInvariants(t, c)
	})
}

func TestGivenBackToTheFrontInOrder(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		newQueue(t, c, "q", "")
		r := submitN(t, c, "q", 6)
		s := newWorker(t, c, "w")
		g := claimN(t, s, 4).Grants
		settle(t, s, report(g[3], GiveBack, 1, ""))
		settle(t, s, report(g[2], GiveBack, 1, ""), report(g[0], GiveBack, 0, ""))
		var got []string
		for _, x := range claimN(t, s, 10).Grants {
			got = append(got, x.ID)
		}
		want := []string{r[0].ID, r[2].ID, r[3].ID, r[4].ID, r[5].ID}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("order %v, want %v", got, want)
		}
		if q := statusOf(t, c, "q"); q.TokensWasted != 2 || q.TokensSpent != 9 {
			t.Errorf("spent %d, wasted %d", q.TokensSpent, q.TokensWasted)
		}
		checkInvariants(t, c)
	})
}
