package runtime

import (
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/pluginapi/alarm"
	"github.com/throttlerd/throttlerd/runtime/pluginhost"
	"github.com/throttlerd/throttlerd/scheduler"
)

// waiting is a process that waits for the instants of tasks; it keeps what it is sent.
type waiting struct {
	mu    sync.Mutex
	ahead map[int64]time.Time // their starts, by fence
	sent  map[int64]time.Time // when the others came
}

func (p *waiting) Cancel(int64, error) {}
func (p *waiting) Kill()               {}
func (p *waiting) StartsAt() bool      { return true }

func (p *waiting) Send(tasks []pluginhost.Sending) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range tasks {
		early := time.Until(s.NotBefore)
		switch {
		case early > sendAhead+gatherAhead:
			panic("sent " + early.String() + " before its start")
		case early > 0:
			p.ahead[s.Task.Fence] = s.NotBefore
		default:
			p.sent[s.Task.Fence] = time.Now()
		}
	}
}

func (p *waiting) all() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.ahead) + len(p.sent)
}

// Tasks go to a process that waits for their instants a little ahead, and with their time
// in full. One that may be the death of it is sent at its instant, never before.
func TestTasksAreSentAheadOfTheirInstants(t *testing.T) {
	w := &Worker{
		log: hclog.NewNullLogger(), kick: make(chan struct{}, 1), placed: make(chan struct{}, 1), free: 100,
		runs: make(map[int64]*run), ses: &scheduler.Session{},
	}
	w.starter = alarm.NewLine(w.dispatch)
	defer w.starter.Close()
	h := &handler{name: "h", w: w, maxCrashes: 3, slots: 100}
	w.handlers = map[string]*handler{"h": h}
	p := &waiting{ahead: map[int64]time.Time{}, sent: map[int64]time.Time{}}
	h.up(p)

	const n, suspect = 20, 1
	now := time.Now()
	g := &scheduler.Granted{Received: now, Sent: now, Until: now.Add(time.Minute)}
	for i := range n {
		x := scheduler.Grant{Handler: "h", Fence: int64(i + 1), GrantedAt: now.Add(20 * time.Millisecond), StartIn: 20 * time.Millisecond, Timeout: time.Minute}
		if x.Fence == suspect {
			x.Crashes = 2
		}
		g.Grants = append(g.Grants, x)
	}
	w.take(w.ses, g, nil)
	start := now.Add(20 * time.Millisecond)
	for deadline := now.Add(10 * time.Second); p.all() < n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d were sent", p.all(), n)
		}
	}
	if len(p.ahead) != n-1 || len(p.sent) != 1 {
		t.Errorf("%d ahead, %d at their instant", len(p.ahead), len(p.sent))
	}
	for fence, at := range p.ahead {
		if !at.Equal(start) || fence == suspect {
			t.Errorf("task %d is to start at %s, want %s", fence, at, start)
		}
		if d := w.runs[fence].ends; !d.Equal(start.Add(time.Minute)) {
			t.Errorf("task %d ends at %s", fence, d)
		}
	}
	for fence, at := range p.sent {
		if at.Before(start) {
			t.Errorf("task %d was sent %s before its instant", fence, start.Sub(at))
		}
	}
}

// What is granted shortly before its instant goes to its process with the answer, without a
// timer.
func TestTasksNearTheirInstantsAreSentAtOnce(t *testing.T) {
	s := newStage(t) // it has no starter
	s.h.slots, s.w.free, s.w.handlers = 10, 10, map[string]*handler{"h": s.h}
	p := &waiting{ahead: make(map[int64]time.Time), sent: make(map[int64]time.Time)}
	s.h.up(p)
	now := time.Now()
	g := &scheduler.Granted{Received: now, Sent: now, Until: now.Add(time.Minute)}
	for i := range 3 {
		in := sendAhead - time.Duration(i)*time.Millisecond
		g.Grants = append(g.Grants, scheduler.Grant{Handler: "h", Fence: int64(i + 1), GrantedAt: now.Add(in), StartIn: in, Timeout: time.Minute})
	}
	s.w.take(s.w.ses, g, nil)
	if len(p.ahead) != 3 || s.h.busy != 3 {
		t.Errorf("%d sent ahead, %d busy, of 3", len(p.ahead), s.h.busy)
	}
}

// A run may begin until 250 ms after its instant where one was reserved for it, else while the
// lease stands; a plugin that does not obey is told neither.
func TestRunsAreSentWithTheirLastInstants(t *testing.T) {
	for _, obeys := range []bool{true, false} {
		s := newStage(t)
		s.h.slots, s.w.free, s.w.handlers = 10, 10, map[string]*handler{"h": s.h}
		p := &still{startsAt: obeys}
		s.h.up(p)
		now := time.Now()
		g := &scheduler.Granted{Received: now, Sent: now, Until: now.Add(7 * time.Second), Grants: []scheduler.Grant{{Handler: "h", Fence: 1, GrantedAt: now}}}
		if obeys {
			g.Grants = append(g.Grants, scheduler.Grant{Handler: "h", Fence: 2, GrantedAt: now.Add(sendAhead), StartIn: sendAhead})
		}
		s.w.take(s.w.ses, g, nil)
		var want []pluginhost.Sending
		switch obeys {
		case true:
			start := now.Add(sendAhead)
			want = []pluginhost.Sending{{NotAfter: g.Until}, {NotBefore: start, NotAfter: start.Add(lateAfter)}}
		case false:
			want = []pluginhost.Sending{{}}
		}
		if len(p.tasks) != len(want) {
			t.Fatalf("%d tasks", len(p.tasks))
		}
		for i, x := range p.tasks {
			if !x.NotBefore.Equal(want[i].NotBefore) || !x.NotAfter.Equal(want[i].NotAfter) {
				t.Errorf("obeys: %v, task %d is sent with %s to %s, want %+v", obeys, i, x.NotBefore, x.NotAfter, want[i])
			}
		}
	}
}

// What a plugin did not start goes back uncharged, if it was told when it may begin; one that
// was not is failed by it.
func TestNotStartedGoesBack(t *testing.T) {
	s := newStage(t)
	p := &still{}
	s.h.up(p)
	s.run(2, 0)
	first := s.w.runs[1]
	first.bounded, first.notAfter = true, time.Now().Add(-time.Second)
	s.h.places[0].punctual = true
	s.h.results([]pluginapi.Result{{Run: 1, Outcome: pluginapi.NotStarted}, {Run: 2, Outcome: pluginapi.NotStarted}})
	if !s.h.places[0].punctual {
		t.Error("one that came late costs the process its trust")
	}
	s.run(1, 0)
	s.w.runs[3].bounded, s.w.runs[3].notAfter = true, time.Now().Add(time.Minute)
	s.h.results([]pluginapi.Result{{Run: 3, Outcome: pluginapi.NotStarted}})
	if s.h.places[0].punctual {
		t.Error("one that came in time and did not start leaves the process its trust")
	}
	for _, o := range s.w.outcomes {
		if back := o.Kind == scheduler.GiveBack && o.Number == 1; back != (o.Fence != 2) {
			t.Errorf("%+v", o)
		}
	}
	if s.h.busy != 0 || s.h.places[0].busy != 0 || len(s.w.outcomes) != 3 {
		t.Errorf("%d busy, %d in place, %d outcomes", s.h.busy, s.h.places[0].busy, len(s.w.outcomes))
	}
}
