//go:build linux

package check

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/tests/proc"
)

const (
	ms    = int64(time.Millisecond)
	first = 101 // the worker that is killed; its plugin is 201
	other = 102
)

// sound is a history that keeps every promise: 60 tasks of queue "calls" at 100/1s:5,
// every tenth fails once; of the two workers one is killed with two tasks running, which
// run again.
func sound() *History {
	h := &History{
		Limits: []Limit{{Name: "api", Queues: []string{"calls"}, Cap: 8, Epochs: []ratelimit.Epoch{{Rate: ratelimit.Rate{N: 100, Period: time.Second, Burst: 5}}}}},
		Queues: map[string]Promise{"calls": {Attempts: 3, Cap: 8, History: 40}},
		Faults: []Fault{{Kind: WorkerKilled, From: 300 * ms, To: 300 * ms, After: 4 * time.Second, Process: first}},
		Clock:  []Reading{{FromNs: -ms, ToNs: 0, EngineUs: 1_000_000}},
		Alive:  map[int]int{202: other}, Drained: true,
	}
	q := Queue{Ends: make(map[string]End), Counts: map[string]int64{"done": 60, "ended": 40}}
	fence := int64(1000)
	grant := int64(1_000_000)
	run := func(task string, attempt, worker int, took int64, outcome string) {
		fence++
		grant += 10_000
		at := grant * 1000
		e := proc.Entry{Event: "start", Task: task, Queue: "calls", Attempt: attempt, Fence: fence, GrantUs: grant, StartUs: grant + 50, Worker: worker, PID: worker + 100, MonoNs: at - 1_000_000_000}
		h.Events = append(h.Events, e)
		if outcome == "" {
			return
		}
		e.Event, e.Outcome, e.MonoNs = "finish", outcome, e.MonoNs+took
		h.Events = append(h.Events, e)
		if outcome == "done" {
			q.Ends[task] = End{State: "done", Start: grant, Worker: fmt.Sprint(worker)}
			q.Ended = append(q.Ended, task)
		}
	}
	for i := range 60 {
		id := fmt.Sprintf("t%02d", i)
		h.Acked = append(h.Acked, Ack{Task: id, Queue: "calls", AtNs: int64(i)})
		switch worker := first + i%2; {
		case i == 24 || i == 26: // cut short by the kill
			run(id, 1, first, 0, "")
		case i > 26:
			run(id, 1, other, 5*ms, "done")
		case i%10 == 3:
			run(id, 1, worker, 5*ms, "failed")
			run(id, 2, worker, 5*ms, "done")
		default:
			run(id, 1, worker, 5*ms, "done")
		}
	}
	grant += 2_000_000
	run("t24", 1, other, 5*ms, "done")
	run("t26", 1, other, 5*ms, "done")
	for _, id := range q.Ended[:20] { // the history holds 40
		delete(q.Ends, id)
	}
	q.Ended = q.Ended[20:]
	q.Bodies = slices.Clone(q.Ended)
	q.Counts["spent"] = int64(65)
	h.Now = &Snapshot{
		Prefix: "{bb}:", Queues: map[string]Queue{"calls": q}, Workers: map[string]int64{"w2": 1},
		Limits: map[string]map[string]string{"api": {"running": "0", "spent": "65", "wasted": "0"}},
		Keys:   []string{"{bb}:clock", "{bb}:q:calls", "{bb}:worker:w2", "{bb}:l:api", "{bb}:tasks:calls"},
	}
	return h
}

func TestSoundHistory(t *testing.T) {
	for _, v := range Run(sound()) {
		t.Error(v)
	}
}

// A plugin may begin a task while it is killed; that does not run on for ever.
func TestRunOfADyingPlugin(t *testing.T) {
	h := sound()
	h.Faults[0].From, h.Faults[0].To = 240*ms, 240*ms // before t24 and t26 began
	h.Queues["calls"] = Promise{Attempts: 3, Cap: 2, History: 40}
	for _, v := range Run(h) {
		t.Error(v)
	}
}

// What a death has cut short starts again two seconds later, or is held up by what comes
// between.
func TestAgain(t *testing.T) {
	for _, c := range []struct {
		what    string
		fault   Fault
		excused bool
	}{
		{"another worker dies at once", Fault{Kind: WorkerKilled, From: 400 * ms, To: 400 * ms, Process: 103}, false},
		{"another worker dies when it may have them", Fault{Kind: WorkerKilled, From: 1900 * ms, To: 1900 * ms, Process: 103}, true},
		{"Redis stands still", Fault{Kind: Stall, From: 400 * ms, To: 1000 * ms}, true},
		{"Redis stood still before", Fault{Kind: Stall, From: 100 * ms, To: 200 * ms}, false},
		{"Redis stands still later", Fault{Kind: Stall, From: 4000 * ms, To: 5000 * ms}, false},
	} {
		h := sound()
		death := h.Faults[0]
		h.Faults = append(h.Faults, c.fault)
		list := Again(h, death, 2*time.Second)
		for _, r := range list {
			if r.After < 2*time.Second || r.After > 3*time.Second || r.Excused != c.excused {
				t.Errorf("%s: %+v", c.what, r)
			}
		}
		if len(list) != 2 {
			t.Errorf("%s: %d tasks started again", c.what, len(list))
		}
	}
}

// Each row breaks one promise, as a defect of the engine would, and must be named.
func TestMutantHistories(t *testing.T) {
	queue := func(h *History, change func(q *Queue)) {
		q := h.Now.Queues["calls"]
		q.Counts, q.Ends = maps.Clone(q.Counts), maps.Clone(q.Ends)
		change(&q)
		h.Now.Queues["calls"] = q
	}
	event := func(h *History, kind, task string, nth int) *proc.Entry {
		for i := range h.Events {
			if e := &h.Events[i]; e.Event == kind && e.Task == task {
				if nth--; nth < 0 {
					return e
				}
			}
		}
		t.Fatalf("no %s of %s", kind, task)
		return nil
	}
	drop := func(list []string, id string) []string {
		return slices.DeleteFunc(slices.Clone(list), func(x string) bool { return x == id })
	}
	for _, m := range []struct {
		defect, invariant string
		mutate            func(h *History)
	}{
		{"a task is popped before it is leased, and its worker dies", "I1", func(h *History) {
			queue(h, func(q *Queue) {
				q.Ended, q.Bodies, q.Counts["ended"] = drop(q.Ended, "t26"), drop(q.Bodies, "t26"), 39
				delete(q.Ends, "t26")
			})
			h.Events = slices.DeleteFunc(h.Events, func(e proc.Entry) bool { return e.Task == "t26" && e.Worker == other })
		}},
		{"more is trimmed than ended", "I1", func(h *History) { queue(h, func(q *Queue) { q.Counts["done"] = 59 }) }},
		{"a submit without an answer is there twice", "I1", func(h *History) {
			queue(h, func(q *Queue) {
				q.Waiting, q.Bodies, q.Counts["waiting"] = []string{"x"}, append(q.Bodies, "x"), 1
			})
		}},
		{"a task given back stays in its list", "I2", func(h *History) {
			queue(h, func(q *Queue) { q.Back = []string{"t30"} })
		}},
		{"a record is forgotten", "I2", func(h *History) { queue(h, func(q *Queue) { q.Bodies = drop(q.Bodies, "t30") }) }},
		{"a record is left behind", "I2", func(h *History) { queue(h, func(q *Queue) { q.Bodies = append(q.Bodies, "t01") }) }},
		{"a counter drifts", "I2", func(h *History) { queue(h, func(q *Queue) { q.Counts["running"] = 1 }) }},
		{"a reaped worker keeps a lease", "I3", func(h *History) {
			queue(h, func(q *Queue) { q.Running = []Lease{{Task: "t05", Worker: "w1", Fence: 7}} })
		}},
		{"one fence leases two tasks", "I3", func(h *History) {
			queue(h, func(q *Queue) {
				q.Running = []Lease{{Task: "t05", Worker: "w2", Fence: 7}, {Task: "t06", Worker: "w2", Fence: 7}}
			})
		}},
		{"a place under a cap is never given back", "I3", func(h *History) { h.Now.Limits["api"]["running"] = "2" }},
		{"a task is done that did not finish", "I4", func(h *History) { event(h, "finish", "t40", 0).Outcome = "failed" }},
		{"a stale settle is taken: the fence is not checked", "I5", func(h *History) {
			event(h, "start", "t45", 0).Task = "t44" // t44 was granted again
			event(h, "finish", "t45", 0).Task = "t44"
			h.Acked = slices.DeleteFunc(h.Acked, func(a Ack) bool { return a.Task == "t45" })
			queue(h, func(q *Queue) {
				q.Ended, q.Bodies, q.Counts["ended"] = drop(q.Ended, "t45"), drop(q.Bodies, "t45"), 39
				delete(q.Ends, "t45")
			})
		}},
		{"fences go back after Redis has lost its last writes", "I5", func(h *History) {
			event(h, "start", "t26", 1).Fence, event(h, "finish", "t26", 0).Fence = 1001-500, 1001-500
		}},
		{"a plugin runs what it was not given", "I5", func(h *History) {
			e := *event(h, "start", "t30", 0)
			h.Events = slices.DeleteFunc(h.Events, func(x proc.Entry) bool { return x == e })
		}},
		{"two tasks get one fence", "I5", func(h *History) {
			f := event(h, "start", "t30", 0).Fence
			event(h, "start", "t31", 0).Fence, event(h, "finish", "t31", 0).Fence = f, f
		}},
		{"P/N is truncated: each grant comes 10 µs early", "I6", func(h *History) {
			for i := range h.Events {
				h.Events[i].GrantUs -= int64(i) / 2 * 2000
			}
		}},
		{"a bucket expires early and is full again", "I6", func(h *History) {
			at := event(h, "start", "t30", 0).GrantUs
			for i := range h.Events {
				if e := &h.Events[i]; e.GrantUs > at && e.GrantUs < at+150_000 {
					e.GrantUs = at + 10_000
				}
			}
		}},
		{"a worker starts what it has reserved at once", "I6", func(h *History) {
			for i := range h.Events {
				h.Events[i].MonoNs -= 30 * ms
			}
		}},
		{"a worker starts what is long due", "I6", func(h *History) {
			for i := range h.Events {
				h.Events[i].MonoNs += 400 * ms
			}
		}},
		{"grants are stamped evenly and started in a burst", "I6", func(h *History) {
			h.Clock = nil // only by the starts themselves
			for i := range h.Events[:80] {
				h.Events[i].MonoNs = 400 * ms
			}
		}},
		{"nothing was asked of a limit", "I6", func(h *History) {
			h.Pressed = true
			for i := range h.Events { // not when the next token comes
				h.Events[i].GrantUs -= int64(i%7) * 313
			}
		}},
		{"tokens are refunded when a task is given back", "I7", func(h *History) { queue(h, func(q *Queue) { q.Counts["spent"] = 63 }) }},
		{"a start pays twice", "I7", func(h *History) {
			h.Faults = nil
			queue(h, func(q *Queue) { q.Counts["spent"] = 66 })
		}},
		{"a start counts as wasted", "I7", func(h *History) {
			h.Faults = nil
			h.Now.Limits["api"]["wasted"] = "1"
		}},
		{"what a stall wasted is not counted", "I7", func(h *History) {
			h.Faults[0].Kind = Stall
			queue(h, func(q *Queue) { q.Counts["spent"] = 66 })
		}},
		{"what a worker's death wastes is not counted", "I7", func(h *History) { queue(h, func(q *Queue) { q.Counts["spent"] = 65 + 41 }) }},
		{"a worker reserves far ahead, and dies", "I7", func(h *History) {
			h.Pressed = true
			queue(h, func(q *Queue) { q.Counts["spent"], q.Counts["wasted"] = 65+80, 80 })
		}},
		{"a limit is not debited for every start", "I7", func(h *History) { h.Now.Limits["api"]["spent"] = "64" }},
		{"a lost reply's claim is granted and started again", "I7", func(h *History) {
			e := *event(h, "start", "t50", 0)
			e.PID, e.Worker, e.MonoNs = 301, 103, e.MonoNs+1
			h.Events = append(h.Events, e)
		}},
		{"a task of a living worker is reaped", "I8", func(h *History) {
			e := *event(h, "start", "t50", 0)
			e.Fence, e.GrantUs, e.MonoNs = 9000, e.GrantUs+5_000_000, e.MonoNs+5000*ms
			h.Events = append(h.Events, e)
		}},
		{"a worker's death reruns what it had settled before", "I8", func(h *History) {
			h.Faults[0].From, h.Faults[0].To = 2550*ms, 2550*ms
			e := *event(h, "start", "t00", 0)
			e.Fence, e.GrantUs, e.MonoNs, e.Worker, e.PID = 9000, e.GrantUs+5_000_000, e.MonoNs+5000*ms, other, 202
			h.Events = append(h.Events, e)
		}},
		{"a worker's death reruns what another ran", "I8", func(h *History) {
			e := *event(h, "start", "t11", 0) // of the other worker
			e.Fence, e.GrantUs, e.MonoNs = 9000, e.GrantUs+5_000_000, e.MonoNs+5000*ms
			h.Events = append(h.Events, e)
		}},
		{"one worker runs a task beside itself", "I9", func(h *History) {
			e := *event(h, "start", "t50", 0)
			e.Fence, e.GrantUs, e.MonoNs = 9000, e.GrantUs+5_000_000, e.MonoNs+1
			h.Events = append(h.Events, e)
		}},
		{"a cap is read before a place is taken", "I10", func(h *History) {
			for i := range h.Events {
				if e := &h.Events[i]; e.Event == "finish" {
					e.MonoNs += 200 * ms
				}
			}
		}},
		{"a queue's own cap is not looked at", "I10", func(h *History) {
			h.Queues["calls"] = Promise{Attempts: 3, Cap: 1, History: 40}
		}},
		{"nothing was asked of a cap", "I10", func(h *History) { h.Pressed = true }},
		{"a queue is never looked at again", "I11", func(h *History) {
			queue(h, func(q *Queue) {
				q.Waiting, q.Ended, q.Counts["waiting"], q.Counts["ended"] = []string{"t30"}, drop(q.Ended, "t30"), 1, 39
				delete(q.Ends, "t30")
			})
			h.Events = slices.DeleteFunc(h.Events, func(e proc.Entry) bool { return e.Task == "t30" })
		}},
		{"a rerun is charged an attempt", "I12", func(h *History) {
			event(h, "start", "t26", 1).Attempt = 2
		}},
		{"attempts have no end", "I12", func(h *History) { h.Queues["calls"] = Promise{Attempts: 1, History: 40} }},
		{"a task dies with attempts left", "I12", func(h *History) {
			queue(h, func(q *Queue) {
				q.Dead, q.Ended, q.Counts["dead"], q.Counts["ended"] = []string{"t30"}, drop(q.Ended, "t30"), 1, 39
				delete(q.Ends, "t30")
			})
		}},
		{"a history grows without bound", "I13", func(h *History) { h.Queues["calls"] = Promise{Attempts: 3, History: 39} }},
		{"how a task ended is forgotten before the task", "I13", func(h *History) { queue(h, func(q *Queue) { delete(q.Ends, "t30") }) }},
		{"a forgotten worker leaves its hash", "I13", func(h *History) { h.Now.Keys = append(h.Now.Keys, "{bb}:run:w1") }},
		{"a script builds a key without the tag", "I14", func(h *History) { h.Now.Keys = append(h.Now.Keys, "bb:q:calls") }},
		{"a plugin outlives its worker", "I15", func(h *History) { h.Alive[201] = 1 }},
	} {
		t.Run(m.defect, func(t *testing.T) {
			h := sound()
			m.mutate(h)
			found := Run(h)
			if !slices.ContainsFunc(found, func(v Violation) bool { return v.Invariant == m.invariant }) {
				t.Errorf("not caught as %s: %v", m.invariant, found)
			}
		})
	}
}

func TestLease(t *testing.T) {
	l, queue := readLease("w1", "t1", "77 1234 5 6 calls queue=0 api=3 key=2:a b=9")
	if queue != "calls" || l.Fence != 77 || l.Start != 1234 || l.Charges["queue"] != 0 || l.Charges["api"] != 3 || l.Charges["b"] != 0 {
		t.Errorf("%+v of %q", l, queue)
	}
	if e := readEnd("done 12 34 w1\nresult done 9 9 9"); e.State != "done" || e.Start != 34 || e.Worker != "w1" {
		t.Errorf("%+v", e)
	}
	if s := few(strings.Split("a b c d e f g", " ")); s != "a, b, c, d, e, …" {
		t.Error(s)
	}
}

// A clock that goes back has lost what was not stored: a start that was told before is not
// early, but one that is told afterwards would be.
func TestClockThatWentBack(t *testing.T) {
	c := &judge{History: &History{Clock: []Reading{{0, 0, 1_000_000}, {5 * ms, 5 * ms, 1_001_000}}}}
	if _, most := c.engine(10 * ms); most < 1_010_000 {
		t.Errorf("10 ms after the first reading it is %d µs at most, want what that one says too", most)
	}
	if _, most := c.engine(100 * ms); most > 1_001_000+95_000+100 {
		t.Errorf("100 ms after it, it is %d µs at most, want what the second says", most)
	}
}
