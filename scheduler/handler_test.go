package scheduler

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"testing"
	"time"
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
