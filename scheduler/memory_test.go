package scheduler

import (
	"context"
	"fmt"
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

// The same for a queue under limits, with keys.
func TestFullMemoryUnderLimits(t *testing.T) {
	rdb := redistest.Start(t).Client()
	t.Cleanup(func() { rdb.Close() })
	c, err := New(rdb, Options{Namespace: "test"})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	newLimit(t, c, "api", "1000/1s:1000", 50)
	newQueue(t, c, "q", "1000/1s:1000", under("api"), byKey(KeySpec{Rates: rates(t, "100/1s:4"), Concurrency: 3, Weight: 1}, nil))
	submitKeys(t, c, "q", 4, "a", "b", "c")
	s := newWorker(t, c, "w")
	g := claimN(t, s, 6).Grants
	slower := &KeySpec{Rates: rates(t, "100/1s:5"), Concurrency: 4, Weight: 1}
	if err := c.UpdateQueue(ctx, "q", QueueChange{Key: &slower}); err != nil {
		t.Fatal(err)
	}
	if err := rdb.ConfigSet(ctx, "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	tick(t, s)
	g = append(g, claimN(t, s, 64).Grants...)
	if len(g) != 12 {
		t.Errorf("%d of 12 tasks start", len(g))
	}
	for i, kind := range []string{Done, Failed, Dead, Throttled, Crashed, GiveBack} {
		o := report(g[i], kind, 3, "x")
		o.Limit, o.Actual = "api", map[string]int64{"api": 2}
		if n := settle(t, s, o); n != 0 {
			t.Errorf("%s is refused", kind)
		}
	}
	if err := s.Leave(ctx); err != nil {
		t.Errorf("leave: %v", err)
	}
	checkInvariants(t, c)
}

// A waiting task with 100 bytes of payload and a generated id costs at most 250 bytes, and
// 350 more for each key that has work.
func TestMemoryOfWaitingTasks(t *testing.T) {
	used := func(keys, tasks int) float64 {
		rdb := redistest.Start(t).Client()
		defer rdb.Close()
		ctx := context.Background()
		memory := func() float64 {
			info, err := rdb.Info(ctx, "memory").Result()
			if err != nil {
				t.Fatal(err)
			}
			return float64(number(infoField(info, "used_memory")))
		}
		c, err := New(rdb, Options{Namespace: "test"})
		if err != nil {
			t.Fatal(err)
		}
		var change []func(*QueueSpec)
		if keys > 0 {
			change = append(change, byKey(KeySpec{Rates: rates(t, "5/1s"), Concurrency: 2, Weight: 1}, nil))
		}
		newQueue(t, c, "q", "10/1s", change...)
		list := make([]SubmitRequest, tasks)
		for i := range list {
			list[i].Payload = []byte(strings.Repeat("x", 100))
			if keys > 0 {
				list[i].Key = fmt.Sprintf("tenant-%05d", i%keys)
			}
		}
		before := memory()
		if _, err := c.SubmitMany(ctx, "q", list); err != nil {
			t.Fatal(err)
		}
		return memory() - before
	}
	for _, x := range []struct{ keys, tasks int }{{0, 20_000}, {20_000, 20_000}, {1000, 20_000}} {
		got, most := used(x.keys, x.tasks), float64(250*x.tasks+350*x.keys)
		t.Logf("%d tasks of %d keys: %.0f bytes a task", x.tasks, x.keys, got/float64(x.tasks))
		if got > most {
			t.Errorf("%d tasks of %d keys: %.0f bytes, at most %.0f", x.tasks, x.keys, got, most)
		}
	}
}
