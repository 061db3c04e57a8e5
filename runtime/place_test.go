package runtime

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/runtime/pluginhost"
	"github.com/throttlerd/throttlerd/scheduler"
)

// still is a process that keeps what it is sent.
type still struct {
	tasks    []pluginhost.Sending
	startsAt bool
	killed   atomic.Bool
}

func (s *still) StartsAt() bool                  { return s.startsAt }
func (s *still) Send(tasks []pluginhost.Sending) { s.tasks = append(s.tasks, tasks...) }
func (s *still) Cancel(int64, error)             {}
func (s *still) Kill()                           { s.killed.Store(true) }

// stage is a worker with one handler, to which processes come and from which they go.
type stage struct {
	*testing.T
	w     *Worker
	h     *handler
	fence int64
}

func newStage(t *testing.T) *stage {
	w := &Worker{log: hclog.NewNullLogger(), kick: make(chan struct{}, 1), runs: make(map[int64]*run), ses: &scheduler.Session{}}
	return &stage{T: t, w: w, h: &handler{name: "h", w: w, maxCrashes: 3}}
}

// run dispatches n tasks that had a part in so many crashes.
func (s *stage) run(n, crashes int) {
	for range n {
		s.fence++
		now := time.Now()
		r := &run{h: s.h, ses: s.w.ses, start: now, notBefore: now, notAfter: now.Add(time.Minute), grant: scheduler.Grant{Fence: s.fence, Crashes: crashes, Timeout: time.Minute}}
		r.takeSlot()
		s.w.runs[s.fence] = r
		s.w.dispatch([]*run{r})
	}
}

// kinds counts the outcomes so far and forgets them.
func (s *stage) kinds() map[string]int {
	out := map[string]int{}
	for _, o := range s.w.outcomes {
		out[o.Kind]++
	}
	s.w.outcomes = nil
	return out
}

func (s *stage) want(what string, got, want int) {
	s.Helper()
	if got != want {
		s.Errorf("%s: %d, want %d", what, got, want)
	}
}

func TestTasksAreSpreadOverInstancesAndDieWithTheirOwn(t *testing.T) {
	s := newStage(t)
	a, b := &still{}, &still{}
	s.h.up(a)
	s.h.up(b)
	s.run(10, 0)
	s.want("tasks of a", len(a.tasks), 5)
	s.want("tasks of b", len(b.tasks), 5)

	s.h.down(a, errors.New("signal: killed"))
	if k := s.kinds(); k[scheduler.Crashed] != 5 || len(k) != 1 || len(s.w.runs) != 5 || s.h.busy != 5 || !s.h.isUp() {
		t.Errorf("%v, %d runs, %d busy", k, len(s.w.runs), s.h.busy)
	}
	s.run(1, 0)
	s.want("tasks of b, which is alone", len(b.tasks), 6)
	s.h.down(b, nil)
	s.kinds()
	if s.h.isUp() || s.h.busy != 0 || s.w.free != 0 {
		t.Errorf("up %v, %d busy, %d free", s.h.isUp(), s.h.busy, s.w.free)
	}
	s.run(1, 0)
	if k := s.kinds(); k[scheduler.GiveBack] != 1 {
		t.Errorf("while nothing is up: %v", k)
	}
}

func TestARetiredProcessTakesNoTaskAndFinishesItsOwn(t *testing.T) {
	s := newStage(t)
	old, fresh := &still{}, &still{}
	s.h.up(old)
	s.run(3, 0)
	s.h.up(fresh)
	s.h.retire(old)
	s.run(5, 0)
	s.want("tasks of the old one", len(old.tasks), 3)
	s.want("tasks of the new one", len(fresh.tasks), 5)
	s.h.results([]pluginapi.Result{{Run: 1, Outcome: pluginapi.Done}, {Run: 2, Outcome: pluginapi.Done}, {Run: 3, Outcome: pluginapi.Done}})
	s.h.down(old, nil)
	if k := s.kinds(); k[scheduler.Done] != 3 || len(k) != 1 || len(s.w.runs) != 5 {
		t.Errorf("%v, %d runs", k, len(s.w.runs))
	}
}

// What a task is told that timed out before its process was gone: who killed whom.
func TestATimeoutBeforeTheEndOfTheProcess(t *testing.T) {
	for ignored, want := range map[bool]string{false: "; then its plugin died", true: "; it ignored the end of its context, and its plugin was killed"} {
		s := newStage(t)
		a := &still{}
		s.h.up(a)
		s.run(1, 0)
		s.w.runs[1].cause = pluginapi.ErrTimeout
		if ignored {
			s.w.runs[1].ignored = time.Now()
		}
		s.h.down(a, errors.New("signal: killed"))
		if o := s.w.outcomes[0]; o.Kind != scheduler.Failed || o.Text != "timed out after 1m0s"+want {
			t.Errorf("%+v", o)
		}
	}
}

// One suspect a process; where one runs and its process dies, nobody else has a part. A few
// wait until one has ended, for a while; the others are postponed.
func TestSuspectsRunOneByOneInEachProcess(t *testing.T) {
	s := newStage(t)
	s.w.handlers = map[string]*handler{"h": s.h}
	a, b := &still{}, &still{}
	s.h.up(a)
	s.h.up(b)
	s.run(4, 0)
	s.run(3, 2) // fences 5, 6 and 7
	if k := s.kinds(); len(k) != 0 {
		t.Errorf("%v", k)
	}
	s.want("tasks of a", len(a.tasks), 3)
	s.want("tasks of b", len(b.tasks), 3)
	s.run(1, 2)
	if k := s.kinds(); k[scheduler.Postponed] != 1 {
		t.Errorf("more than may wait: %v", k)
	}
	s.h.down(a, errors.New("signal: killed"))
	if k := s.kinds(); k[scheduler.Crashed] != 1 || k[scheduler.GiveBack] != 2 {
		t.Errorf("%v", k)
	}
	s.want("tasks of b, whose suspect runs", len(b.tasks), 3)
	s.h.results([]pluginapi.Result{{Run: b.tasks[2].Task.Fence, Outcome: pluginapi.Done}})
	s.want("tasks of b, whose suspect has ended", len(b.tasks), 4)
	if last := b.tasks[3].Task.Fence; last != 7 {
		t.Errorf("task %d runs, want the one that waited", last)
	}
	s.kinds()
	s.run(1, 2)
	ended := func() (k map[string]int) {
		s.w.mu.Lock()
		defer s.w.mu.Unlock()
		return s.kinds()
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if k := ended(); k[scheduler.Postponed] == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it waits for ever")
		}
	}
}

// A process that was replaced finishes its task, and is killed when it then does not leave;
// one that has left is not.
func TestReplacedProcessLeavesOrIsKilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		stays, leaves := &still{}, &still{}
		s.h.up(stays)
		s.run(1, 0)
		s.h.up(leaves)
		s.h.retire(stays)
		s.h.retire(leaves)
		s.h.down(leaves, nil)
		time.Sleep(2 * killAfter)
		if stays.killed.Load() {
			t.Error("killed with a task that it had")
		}
		s.w.mu.Lock()
		for _, r := range s.w.runs {
			s.w.finish(r, scheduler.Outcome{Kind: scheduler.Done})
		}
		s.w.mu.Unlock()
		time.Sleep(killAfter - time.Millisecond)
		if stays.killed.Load() {
			t.Error("not given the time to leave")
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		if !stays.killed.Load() || leaves.killed.Load() {
			t.Errorf("killed: the one that stays %v, the one that left %v", stays.killed.Load(), leaves.killed.Load())
		}
	})
}
