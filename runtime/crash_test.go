package runtime

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/runtime/pluginhost"
)

func zOf(member string, score float64) redis.Z { return redis.Z{Member: member, Score: score} }

// mortal is a backend whose process dies when the test says so.
type mortal struct {
	mu      sync.Mutex
	e       events
	running map[string]int64
	poison  string
}

func (m *mortal) start(_ context.Context, e events) error {
	m.e, m.running = e, make(map[string]int64)
	e.up(m)
	return nil
}

// Send finishes everything but while it holds poison: then the process dies with all.
func (m *mortal) Send(tasks []pluginhost.Sending) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dies := false
	for _, s := range tasks {
		t := s.Task
		m.running[t.ID] = t.Fence
		dies = dies || t.ID == m.poison
	}
	if dies {
		m.running = make(map[string]int64)
		go func() {
			m.e.down(m, errors.New("signal: killed"))
			m.e.up(m)
		}()
		return
	}
	var list []pluginapi.Result
	for id, fence := range m.running {
		list = append(list, pluginapi.Result{Run: fence, Outcome: pluginapi.Done})
		delete(m.running, id)
	}
	go m.e.results(list)
}

func (m *mortal) StartsAt() bool       { return false }
func (m *mortal) Cancel(int64, error)  {}
func (m *mortal) Kill()                {}
func (m *mortal) stop(context.Context) {}

// The task that kills its plugin dies at its third crash; its neighbours, which went
// down with it, are done in the end and have lost no attempt.
func TestPoisonDiesAndItsNeighboursDoNot(t *testing.T) {
	r := newRig(t)
	r.queue("q", "")
	r.submit("q", "n1", "n2", "poison", "n3", "n4")
	w, err := New(Options{Client: r.client, Handlers: map[string]Handler{"go": {Go: pluginapi.HandlerFunc(nil), Concurrency: 8}}})
	if err != nil {
		t.Fatal(err)
	}
	w.handlers["go"].backend = &mortal{poison: "poison"}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	for _, id := range []string{"n1", "n2", "n3", "n4"} {
		if x := r.untilState(id, "done"); x.Attempts != 1 {
			t.Errorf("%s took %d attempts", id, x.Attempts)
		}
	}
	if x := r.untilState("poison", "dead"); x.Crashes != 3 || x.LastError != "signal: killed" {
		t.Errorf("%+v", x)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	q, err := r.client.Queue(context.Background(), "q")
	if err != nil || q.Running != 0 || q.Completed != 4 || q.Dead != 1 {
		t.Errorf("%+v %v", q, err)
	}
}

func TestEngineClock(t *testing.T) {
	var c engineClock
	base := time.Now()
	at := func(ms int) time.Time { return base.Add(time.Duration(ms) * time.Millisecond) }
	engine := int64(1_800_000_000_000_000)
	c.observe(at(5), engine) // a reply that took 5 ms
	c.observe(at(101), engine+100_000)
	if d := c.late(at(200), engine+199_000); d < 0 || d > time.Millisecond {
		t.Errorf("late %s, want 0 by the quickest reply", d)
	}
	if d := c.late(at(700), engine+199_000); d != 500*time.Millisecond {
		t.Errorf("late %s after a stall of 500 ms", d)
	}
	for s := 1; s < 200; s++ { // the network is slow from here on: nothing is late for it alone
		c.observe(at(s*1000+400), engine+int64(s)*1_000_000)
	}
	if d := c.late(at(200_400), engine+200_000_000); d != 0 {
		t.Errorf("late %s on a slow network", d)
	}
}
