package scheduler

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestRestartsAreAskedForUntilTheWorkerIsGone(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		s := newWorker(t, c, "w1")
		if b := tick(t, s); len(b.Restarts) != 0 {
			t.Errorf("nobody asked: %v", b.Restarts)
		}
		for _, r := range [][2]string{{"echo", "1"}, {"web.hook-1", "2"}, {"echo", "3"}} {
			if err := c.RestartHandler(ctx, "w1", r[0], r[1]); err != nil {
				t.Fatal(err)
			}
		}
		want := map[string]string{"echo": "3", "web.hook-1": "2"}
		for range 2 { // a reply that is lost costs nothing
			if b := tick(t, s); !maps.Equal(b.Restarts, want) {
				t.Errorf("%v", b.Restarts)
			}
		}
		if err := s.Announce(ctx, func(w *Worker) { w.Version = "2" }); err != nil {
			t.Fatal(err)
		}
		if b := tick(t, s); !maps.Equal(b.Restarts, want) {
			t.Errorf("after an announcement: %v", b.Restarts)
		}
		if err := s.Leave(ctx); err != nil {
			t.Fatal(err)
		}
		if err := c.RestartHandler(ctx, "w1", "echo", "4"); !errors.Is(err, ErrLeaseLost) {
			t.Errorf("of one that has left: %v", err)
		}
		if err := c.RestartHandler(ctx, "w2", "echo", "4"); !errors.Is(err, ErrLeaseLost) {
			t.Errorf("of one that never was: %v", err)
		}
		if n, err := c.rdb.Exists(ctx, c.keys.worker("w1"), c.keys.worker("w2")).Result(); n != 0 || err != nil {
			t.Errorf("%d workers are left behind: %v", n, err)
		}
	})
}

func TestStatesOfHandlersAreAnnounced(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		s := newWorker(t, c, "w1")
		at := time.UnixMilli(1_800_000_000_000).UTC()
		want := HandlerState{
			Handler: "echo", Plugin: "echo", Version: "1.0.0",
			Processes: []ProcessState{{"up", 7, at, 2, 1 << 20}, {"failing", 0, at, 9, 0}},
			LastError: "exited with code 3", LastErrorAt: at, Stderr: []string{"no \"licence\"", "é"},
			Restart: "r", RestartError: "no",
		}
		err := s.Announce(context.Background(), func(w *Worker) { w.States = []HandlerState{want} })
		if err != nil {
			t.Fatal(err)
		}
		workers, err := c.Workers(context.Background())
		if err != nil || len(workers) != 1 {
			t.Fatal(workers, err)
		}
		if got, ok := workers[0].State("echo"); !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v", got)
		}
		if _, ok := workers[0].State("webhook"); ok {
			t.Error("a state of a handler that the worker does not have")
		}
	})
}

// Why a handler takes no tasks is what its worker tells, and a draining worker serves nothing.
func TestDownReason(t *testing.T) {
	t.Parallel()
	died := HandlerState{Handler: "web", Processes: []ProcessState{{Phase: "failing"}}, LastError: "exited with code 3"}
	w := Worker{
		Slots: map[string]int{"web": 1, "echo": 1, "goes": 1, "new": 1}, Pools: []string{DefaultPool}, Down: []string{"goes", "new", "web"},
		States: []HandlerState{died, {Handler: "echo"}, {Handler: "new", Processes: []ProcessState{{Phase: "starting"}}}},
	}
	for handler, want := range map[string]string{"web": "failing: exited with code 3", "new": "starting", "goes": ""} {
		if got, down := w.DownReason(handler); got != want || !down {
			t.Errorf("%s: %q, %v, want %q", handler, got, down, want)
		}
	}
	if got, down := w.DownReason("echo"); got != "" || down {
		t.Errorf("one that is up is down: %q", got)
	}
	if !w.Serves("q", DefaultPool, "echo") {
		t.Error("it does not serve")
	}
	if w.Draining = true; w.Serves("q", DefaultPool, "echo") {
		t.Error("it serves while it drains")
	}
}

func TestWorkersOnAHost(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		if list, err := c.WorkersOn(ctx, "a"); err != nil || len(list) != 0 {
			t.Fatal(list, err)
		}
		for id, host := range map[string]string{"a-1": "a", "a-2": "a", "ab-1": "ab"} {
			w := Worker{ID: id, Host: host, PID: 7, Slots: map[string]int{"echo": 1}, Lease: time.Minute, Draining: id == "a-2"}
			if _, err := c.Register(ctx, w); err != nil {
				t.Fatal(err)
			}
		}
		c.rdb.ZAdd(ctx, c.keys.workers(), redis.Z{Score: 1, Member: "forgotten"}) // between the list and its hash
		list, err := c.WorkersOn(ctx, "a")
		if err != nil || len(list) != 2 || list[0].ID != "a-1" || list[0].Draining || !list[1].Draining || list[1].PID != 7 {
			t.Errorf("%+v %v", list, err)
		}
	})
}
