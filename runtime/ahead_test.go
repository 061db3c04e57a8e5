package runtime

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/scheduler"
)

// grant books n tasks that may start now, as a claim's answer does.
func (s *stage) grant(n int) {
	g := &scheduler.Granted{Received: time.Now(), Sent: time.Now(), Until: time.Now().Add(time.Minute)}
	for range n {
		s.fence++
		g.Grants = append(g.Grants, scheduler.Grant{Handler: "h", Fence: s.fence, GrantedAt: time.Now(), Timeout: time.Minute})
	}
	s.w.take(s.w.ses, g, nil)
}

func (s *stage) done(fences ...int64) {
	var list []pluginapi.Result
	for _, f := range fences {
		list = append(list, pluginapi.Result{Run: f, Outcome: pluginapi.Done})
	}
	s.h.results(list)
}

func newNarrowStage(t *testing.T) (*stage, *still) {
	s := newStage(t)
	s.h.slots, s.w.free, s.w.o.Lookahead = 2, 100, time.Hour
	s.w.handlers = map[string]*handler{"h": s.h}
	p := &still{}
	s.h.up(p)
	return s, p
}

// What is taken ahead starts in order, each as soon as a slot is free and never before.
func TestAheadWaitsForASlot(t *testing.T) {
	s, p := newNarrowStage(t)
	s.grant(3)
	s.grant(2)
	s.want("sent", len(p.tasks), 2)
	s.want("ahead", s.h.ahead, 3)
	s.done(2)
	s.want("sent", len(p.tasks), 3)
	s.done(1, 3)
	s.want("sent", len(p.tasks), 5)
	for i, x := range p.tasks {
		if x.Task.Fence != int64(i+1) {
			t.Errorf("task %d starts at place %d", x.Task.Fence, i+1)
		}
	}
	s.done(4, 5)
	if s.h.ahead != 0 || s.h.busy != 0 || s.w.free != 100 || len(s.w.runs) != 0 {
		t.Errorf("%d ahead, %d busy, %d free, %d runs", s.h.ahead, s.h.busy, s.w.free, len(s.w.runs))
	}
}

// A cancelled one ends without its slot; when the plugin dies the others go back.
func TestAheadIsCalledOffAndGivenBack(t *testing.T) {
	s, p := newNarrowStage(t)
	s.grant(5)
	s.w.mu.Lock()
	s.w.cancelRun(s.w.runs[3], pluginapi.ErrTaskCancelled)
	s.w.mu.Unlock()
	if k := s.kinds(); k[scheduler.Cancelled] != 1 || s.h.ahead != 2 {
		t.Errorf("%v, %d ahead", k, s.h.ahead)
	}
	s.done(1)
	if n := len(p.tasks); n != 3 || p.tasks[2].Task.Fence != 4 {
		t.Errorf("%d sent", n)
	}
	s.kinds()
	s.h.down(p, nil)
	if k := s.kinds(); k[scheduler.Crashed] != 2 || k[scheduler.GiveBack] != 1 || s.h.ahead != 0 || s.h.busy != 0 {
		t.Errorf("%v, %d ahead, %d busy", k, s.h.ahead, s.h.busy)
	}
}

// No slot comes: the tasks are there for somebody else, and no more are taken.
func TestAheadGoesBackWhenNoSlotComes(t *testing.T) {
	s, _ := newNarrowStage(t)
	s.w.trip = time.Second
	s.h.pace = pace{perSecond: 1e6, at: time.Now()}
	if n := s.w.wantAhead(s.h, 0, time.Now()); n != 2 {
		t.Errorf("%d are wanted, of 2 slots", n)
	}
	s.grant(4)
	s.w.o.Lookahead = 1 // all that waits has waited long enough
	s.w.mindReady()
	if k := s.kinds(); k[scheduler.GiveBack] != 2 || s.h.ahead != 0 || len(s.w.runs) != 2 {
		t.Errorf("%v, %d ahead, %d runs", k, s.h.ahead, len(s.w.runs))
	}
	if n := s.w.wantAhead(s.h, 0, time.Now()); n != 0 {
		t.Errorf("%d are wanted of a handler that is stuck", n)
	}
	s.w.o.Lookahead = 0
	if n := s.w.wantAhead(s.h, 0, time.Now()); n != 0 {
		t.Errorf("%d are wanted without a look-ahead", n)
	}
}

// Another index that shares the slots is asked before more is taken ahead.
func TestAheadLeavesSlotsToOtherIndexes(t *testing.T) {
	s, _ := newNarrowStage(t)
	other := &handler{name: "o", w: s.w, slots: 2}
	s.w.handlers["o"] = other
	other.up(&still{})
	s.w.trip, s.h.pace = time.Second, pace{perSecond: 1e6, at: time.Now()}
	s.grant(2)
	a := &index{name: "a:h", h: s.h}
	for _, x := range []struct {
		what  string
		index index
		free  int
		want  int // ahead
	}{
		{"nothing else", index{h: s.h}, 98, 2},
		{"another pool wants some", index{h: s.h, want: true}, 98, 0},
		{"another pool has its instant", index{h: s.h, at: time.Now()}, 98, 0},
		{"another pool has it later", index{h: s.h, at: time.Now().Add(time.Hour)}, 98, 2},
		{"another handler with slots of its own", index{h: other, want: true}, 98, 2},
		{"another handler, and the worker is full", index{h: other, want: true}, 0, 0},
	} {
		s.h.pace.at = time.Now()
		a.want, a.more, s.w.free = true, true, x.free
		x.index.name = "b:h"
		s.w.indexes = []*index{a, &x.index}
		_, claim, _, _ := s.w.due(0, nil, nil, nil)
		got := 0
		if claim != nil {
			got = claim.Ahead
		}
		if got != x.want {
			t.Errorf("%s: %d ahead, want %d", x.what, got, x.want)
		}
	}
}

// Two thousand tasks that end at once, then sixteen that do not end: no more run at once
// than there are slots, and what waits behind them is left to another worker.
func TestAheadIsLeftToOthersWhenTasksTurnSlow(t *testing.T) {
	r := newRig(t)
	r.queue("q", "")
	const fast, slots, after = 2000, 16, 100
	tasks := make([]scheduler.SubmitRequest, fast+slots+after)
	for i := range tasks {
		tasks[i].Payload = []byte{'f'}
		if i >= fast && i < fast+slots {
			tasks[i].Payload = []byte{'s'}
		}
	}
	if _, err := r.client.SubmitMany(context.Background(), "q", tasks); err != nil {
		t.Fatal(err)
	}
	var running, most, ended atomic.Int64
	free := make(chan struct{})
	defer close(free)
	stopped := make(chan struct{}, slots)
	r.start(func(ctx context.Context, x *pluginapi.Task) ([]byte, error) {
		n := running.Add(1)
		defer running.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if x.Payload[0] == 's' {
			stopped <- struct{}{}
			select {
			case <-free:
			case <-ctx.Done():
			}
		}
		ended.Add(1)
		return nil, nil
	})
	for range slots {
		<-stopped
	}
	before := ended.Load()
	r.start(func(_ context.Context, x *pluginapi.Task) ([]byte, error) {
		if x.Attempt != 1 {
			return nil, fmt.Errorf("attempt %d", x.Attempt)
		}
		ended.Add(1)
		return nil, nil
	})
	r.until("the other worker has run what was left", func() bool { return ended.Load() == fast+after })
	if most.Load() > slots || before > fast+after {
		t.Errorf("%d at once, of %d slots; %d ended before the other worker came", most.Load(), slots, before)
	}
	r.until("what ended is settled, the rest is held", func() bool {
		ws, err := r.client.Workers(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		held := 0
		for _, w := range ws {
			held += w.Running
		}
		q, err := r.client.Queue(context.Background(), "q")
		return err == nil && held == slots && q.Running == slots && q.Waiting == 0
	})
}
