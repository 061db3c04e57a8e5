package scheduler

import (
	"context"
	"strings"
	"testing"

	"github.com/throttlerd/throttlerd/tests/redistest"
)

// With Redis full nothing comes in, but tasks start and are settled, leases are taken and
// renewed and a worker can leave: so it drains.
func TestFullMemory(t *testing.T) {
	rdb := redistest.Start(t).Client()
	t.Cleanup(func() { rdb.Close() })
	c, err := New(rdb, Options{Namespace: "test"})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	newQueue(t, c, "q", "")
	submitN(t, c, "q", 20)
	s := newWorker(t, c, "w")
	g := claimN(t, s, 8).Grants
	tick(t, s)
	if err := rdb.ConfigSet(ctx, "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	full := func(what string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "OOM") {
			t.Errorf("%s with full memory: %v", what, err)
		}
	}
	_, err = c.Submit(ctx, SubmitRequest{Queue: "q"})
	full("submit", err)
	if q := statusOf(t, c, "q"); q.Waiting != 12 || q.Running != 8 {
		t.Errorf("a refused call changed something: %d waiting, %d running", q.Waiting, q.Running)
	}
	other := newWorker(t, c, "other") // what makes room goes on
	if n := len(claimN(t, other, 4).Grants); n != 4 {
		t.Errorf("%d of 4 tasks start with full memory", n)
	}
	if err := other.Leave(ctx); err != nil {
		t.Error(err)
	}
	tick(t, s)
	outcomes := []string{Done, Failed, Dead, Throttled, Crashed, GiveBack}
	for i, kind := range outcomes {
		if n := settle(t, s, report(g[i], kind, 3, "x")); n != 0 {
			t.Errorf("%s is refused", kind)
		}
	}
	if _, err := c.Cancel(ctx, g[6].ID); err != nil {
		full("cancel", err)
	}
	if err := s.Leave(ctx); err != nil {
		t.Errorf("leave: %v", err)
	}
	checkInvariants(t, c)
	if err := rdb.ConfigSet(ctx, "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	s = newWorker(t, c, "w2")
	if n := len(claimN(t, s, 64).Grants); n != 17 {
		t.Errorf("%d tasks come again, want the 12 that waited, 3 that outcomes gave back and 2 that the worker did", n)
	}
	checkInvariants(t, c)
}
