package scheduler

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestRateStatusIsExact(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		newQueue(t, c, "q", "6/1h:4")
		newQueue(t, c, "free", "")
		s := newWorker(t, c, "w")
		submitN(t, c, "q", 2)
		claimN(t, s, 2)
		r, err := c.RateStatus(ctx, "q")
		if err != nil || !r.Limited || r.Capacity != 4 || r.RefillPerSecond != 6.0/3600 {
			t.Fatalf("%+v %v", r, err)
		}
		if r.Tokens < 2 || r.Tokens > 2.01 || r.Tokens == 2 {
			t.Errorf("%v tokens, want 2 and a fraction", r.Tokens)
		}
		if r.NextTokenIn > 10*time.Minute || r.NextTokenIn < 9*time.Minute {
			t.Errorf("next token in %s", r.NextTokenIn)
		}
		if r, err := c.RateStatus(ctx, "free"); err != nil || r.Limited {
			t.Errorf("%+v %v", r, err)
		}
		if st, err := c.QueueStats(ctx, "q"); err != nil || st != (QueueStats{Running: 2}) {
			t.Errorf("%+v %v", st, err)
		}
	})
}

func TestHealthNamesItsReasons(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		newQueue(t, c, "q", "")
		check := func(status string, reasons ...string) {
			t.Helper()
			h, err := c.Health(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if h.Status != status || len(h.Reasons) != len(reasons) {
				t.Fatalf("%+v, want %s", h, status)
			}
			for i, r := range reasons {
				if !strings.Contains(h.Reasons[i], r) {
					t.Errorf("%q does not say %q", h.Reasons[i], r)
				}
			}
		}
		check(Healthy)
		submitN(t, c, "q", 3)
		check(Unhealthy, `queue "q" has 3 waiting, but no live worker serves handler "echo" in pool "default"`)
		s := newWorker(t, c, "w")
		check(Healthy)
		if err := s.Announce(ctx, func(w *Worker) { w.Down = []string{"echo"} }); err != nil {
			t.Fatal(err)
		}
		check(Unhealthy, `handler "echo" is down on worker w`, "no live worker")
		sum, err := c.WorkerSummary(ctx)
		if err != nil || sum["q"] != (Service{Workers: 1, Slots: 64, Down: 1}) {
			t.Errorf("%+v %v", sum, err)
		}
		if err := s.Announce(ctx, func(w *Worker) { w.Down = nil }); err != nil {
			t.Fatal(err)
		}
		g := claimN(t, s, 1).Grants[0]
		settle(t, s, report(g, Dead, 0, "no"))
		check(Degraded, "1 dead task")
		ws, err := c.Workers(ctx)
		if err != nil || len(ws) != 1 || !slices.Equal(ws[0].Handlers(), []string{"echo"}) {
			t.Errorf("%+v %v", ws, err)
		}
	})
}
