package scheduler

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
)

func TestCreateQueue(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		name, err := c.CreateQueue(ctx, "", DefaultQueue("echo"))
		if err != nil || len(name) != 10 || !strings.HasPrefix(name, "q-") {
			t.Errorf("generated name %q, %v", name, err)
		}
		submitN(t, c, name, 1)
		if _, err := c.CreateQueue(ctx, name, DefaultQueue("other")); !errors.Is(err, ErrQueueExists) {
			t.Errorf("created twice: %v", err)
		}
		if q := statusOf(t, c, name); q.Handler != "echo" || q.Waiting != 1 {
			t.Errorf("a refused create changed the queue: %+v", q)
		}
		var invalid *InvalidError
		if _, err := c.CreateQueue(ctx, "No", DefaultQueue("echo")); !errors.As(err, &invalid) {
			t.Errorf("bad name: %v", err)
		}
		if _, err := c.Queue(ctx, "nope"); err == nil {
			t.Error("an unknown queue was found")
		}
	})
}

func TestRateChangeKeepsTheBalance(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		newQueue(t, c, "q", "1/1h:10")
		s := newWorker(t, c, "w")
		submitN(t, c, "q", 40)
		if n := len(claimN(t, s, 6).Grants); n != 6 {
			t.Fatalf("%d grants", n)
		}
		change := func(text string) {
			var rs ratelimit.Rates
			if text != "" {
				rs = ratelimit.Rates{rate(t, text)}
			}
			if err := c.UpdateQueue(ctx, "q", QueueChange{Rates: &rs}); err != nil {
				t.Fatal(err)
			}
			checkInvariants(t, c)
		}
		change("600/1m:8") // 4 are left; nothing comes for the time before
		if n := len(claimN(t, s, 30).Grants); n < 4 || n > 10 {
			t.Errorf("%d grants after the change, want the 4 that were left and what has come since", n)
		}
		change("1/1h:2")
		if n := len(claimN(t, s, 30).Grants); n > 2 {
			t.Errorf("%d grants at a capacity of 2", n)
		}
		change("")
		if n := len(claimN(t, s, 12).Grants); n != 12 {
			t.Errorf("%d grants without a limit", n)
		}
	})
}

func TestPauseAndResume(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		newQueue(t, c, "q", "")
		s := newWorker(t, c, "w")
		if err := c.Pause(ctx, "q"); err != nil {
			t.Fatal(err)
		}
		r := submitN(t, c, "q", 2)
		if !r[0].EarliestStart.IsZero() {
			t.Error("a paused queue promises a start")
		}
		if g := claimN(t, s, 4); len(g.Grants) != 0 || !g.Indexes[0].Idle {
			t.Errorf("%d grants while paused", len(g.Grants))
		}
		if q := statusOf(t, c, "q"); q.BlockedBy != "paused" {
			t.Errorf("blocked by %q", q.BlockedBy)
		}
		if err := c.Resume(ctx, "q"); err != nil {
			t.Fatal(err)
		}
		if g := claimN(t, s, 4); len(g.Grants) != 2 {
			t.Errorf("%d grants after resume", len(g.Grants))
		}
		var unknown *NotFoundError
		if err := c.Pause(ctx, "p"); !errors.As(err, &unknown) {
			t.Errorf("pause of an unknown queue: %v", err)
		}
	})
}

func TestApplyKeepsOverridesAndOwners(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		spec := DefaultQueue("echo")
		spec.Rates = ratelimit.Rates{rate(t, "10/1s")}
		apply := func(owner string, queues map[string]QueueSpec) error {
			t.Helper()
			err := c.Apply(ctx, Declaration{Owner: owner, Queues: queues})
			checkInvariants(t, c)
			return err
		}
		if err := apply("team", map[string]QueueSpec{"a": spec, "b": spec}); err != nil {
			t.Fatal(err)
		}
		fast := rate(t, "50/1s")
		if err := c.UpdateQueue(ctx, "a", QueueChange{Rates: &ratelimit.Rates{fast}}); err != nil {
			t.Fatal(err)
		}
		spec.Timeout = time.Minute
		if err := apply("team", map[string]QueueSpec{"a": spec, "b": spec}); err != nil {
			t.Fatal(err)
		}
		key := c.keys.prefix + "q:b"
		if err := c.rdb.HSet(ctx, key, "used", 1).Err(); err != nil {
			t.Fatal(err)
		}
		if err := apply("team", map[string]QueueSpec{"a": spec, "b": spec}); err != nil {
			t.Fatal(err)
		}
		if used := c.rdb.HGet(ctx, key, "used").Val(); used != "1" {
			t.Errorf("a queue that was as declared has been written")
		}
		a := statusOf(t, c, "a")
		if a.Rates[0] != fast || a.Timeout != time.Minute || a.Declared == nil || a.Declared.Rates[0] != spec.Rates[0] {
			t.Errorf("override: %+v declared %+v", a.QueueSpec, a.Declared)
		}
		var owned *OwnedError
		if err := apply("others", map[string]QueueSpec{"a": spec, "z": spec}); !errors.As(err, &owned) || owned.Owner != "team" {
			t.Errorf("second owner: %v", err)
		}
		if _, err := c.Queue(ctx, "z"); err == nil {
			t.Error("a refused apply created a queue")
		}
		if err := c.RemoveQueue(ctx, "a", true); !errors.As(err, &owned) {
			t.Errorf("remove of a declared queue: %v", err)
		}
		if err := apply("team", map[string]QueueSpec{"b": spec}); err != nil {
			t.Fatal(err)
		}
		submitN(t, c, "a", 1)
		if a := statusOf(t, c, "a"); !a.Undeclared || a.Held != "undeclared" || a.BlockedBy != "undeclared" {
			t.Errorf("not in the file any more: %+v", a)
		}
		if err := apply("team", map[string]QueueSpec{"a": spec, "b": spec}); err != nil {
			t.Fatal(err)
		}
		if a := statusOf(t, c, "a"); a.Undeclared || a.Held != "" || a.Waiting != 1 {
			t.Errorf("back in the file: %+v", a)
		}
	})
}

func TestPauseByHandSurvivesTheFile(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		d := Declaration{Owner: "o", Queues: map[string]QueueSpec{"a": DefaultQueue("echo")}}
		for _, f := range []func() error{
			func() error { return c.Apply(ctx, d) },
			func() error { return c.Pause(ctx, "a") },
			func() error { return c.Apply(ctx, Declaration{Owner: "o"}) },
			func() error { return c.Apply(ctx, d) },
		} {
			if err := f(); err != nil {
				t.Fatal(err)
			}
		}
		if a := statusOf(t, c, "a"); a.Held != "paused" {
			t.Errorf("held %q", a.Held)
		}
	})
}

func TestRemoveAndPurge(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		newQueue(t, c, "q", "")
		s := newWorker(t, c, "w")
		submitN(t, c, "q", 1300)
		for i := range 700 {
			if _, err := c.Submit(ctx, SubmitRequest{Queue: "q", In: time.Hour}); err != nil {
				t.Fatal(i, err)
			}
		}
		if _, err := c.Submit(ctx, SubmitRequest{Queue: "q", ID: "mine"}); err != nil {
			t.Fatal(err)
		}
		g := claimN(t, s, 4).Grants
		settle(t, s, report(g[0], Done, 0, ""), report(g[1], Dead, 0, "x"))
		var full *NotEmptyError
		if err := c.RemoveQueue(ctx, "q", false); !errors.As(err, &full) || full.Waiting != 1297 || full.Running != 2 || full.Dead != 1 {
			t.Errorf("%v", err)
		}
		if n, err := c.Purge(ctx, "q"); n != 1997 || err != nil {
			t.Errorf("purged %d, %v", n, err)
		}
		checkInvariants(t, c)
		if q := statusOf(t, c, "q"); q.Waiting+q.Scheduled != 0 || q.Running != 2 || q.Dead != 1 {
			t.Errorf("%+v", q)
		}
		if _, err := c.Submit(ctx, SubmitRequest{Queue: "q", ID: "mine"}); err != nil {
			t.Errorf("the id of a purged task is not free: %v", err)
		}
		if err := c.RemoveQueue(ctx, "q", true); err != nil {
			t.Fatal(err)
		}
		if n := settle(t, s, report(g[2], Done, 0, ""), report(g[3], Failed, 0, "")); n != 0 {
			t.Errorf("%d stale", n)
		}
		checkInvariants(t, c)
		newQueue(t, c, "q", "")
		if _, err := c.Submit(ctx, SubmitRequest{Queue: "q", ID: "mine"}); err != nil {
			t.Errorf("the id of a removed queue's task is not free: %v", err)
		}
		if q := statusOf(t, c, "q"); q.Waiting != 1 || q.Dead != 0 {
			t.Errorf("made anew: %+v", q)
		}
	})
}

func TestNamespacesDoNotSeeEachOther(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		other, err := New(c.rdb, Options{Namespace: "other"})
		if err != nil {
			t.Fatal(err)
		}
		newQueue(t, c, "q", "")
		newQueue(t, other, "q", "")
		submitN(t, c, "q", 3)
		if q := statusOf(t, other, "q"); q.Waiting != 0 {
			t.Errorf("%d waiting in the other namespace", q.Waiting)
		}
		if g := claimN(t, newWorker(t, other, "w"), 8); len(g.Grants) != 0 {
			t.Errorf("%d grants in the other namespace", len(g.Grants))
		}
		ws, err := c.Workers(context.Background())
		if err != nil || len(ws) != 0 {
			t.Errorf("workers of the other namespace: %v %v", ws, err)
		}
	})
}
