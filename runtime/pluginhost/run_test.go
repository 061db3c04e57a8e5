package pluginhost_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/pluginapi/handlerpb"
	"github.com/throttlerd/throttlerd/runtime/pluginhost"
)

func TestOutcomes(t *testing.T) {
	h := start(t, part(t, "scripted"))
	if info := h.Info(); info.Name != "scripted" || info.Version != "0.9" || !slices.Equal(info.TaskTypes, []string{"a", "b"}) {
		t.Errorf("info: %+v", info)
	}
	for _, c := range []struct {
		payload string
		outcome pluginapi.Outcome
		result  string
		err     string // a part of it
		delay   time.Duration
	}{
		{payload: "hello", outcome: pluginapi.Done, result: "hello"},
		{payload: "", outcome: pluginapi.Done},
		{payload: "permanent", outcome: pluginapi.FailedForGood, err: "row 7: malformed"},
		{payload: "retry", outcome: pluginapi.FailedRetryAfter, err: "not yet", delay: 1500 * time.Millisecond},
		{payload: "throttled", outcome: pluginapi.SlowedDown, err: "upstream: throttled by upstream", delay: 3 * time.Second},
		{payload: "panic", outcome: pluginapi.Failed, err: "panic: runtime error: index out of range"},
		{payload: "goexit", outcome: pluginapi.Failed, err: "ended its goroutine"},
		{payload: "binary error", outcome: pluginapi.Failed, err: "bad \uFFFD byte"},
		{payload: "long error", outcome: pluginapi.Failed, err: "ééé"},
	} {
		r := h.do(c.payload)
		if r.Outcome != c.outcome || string(r.Result) != c.result || !strings.Contains(r.Err, c.err) || r.Delay != c.delay || r.Truncated {
			t.Errorf("%q: %+v", c.payload, r)
		}
		if len(r.Err) > 4<<10 {
			t.Errorf("%q: an error of %d bytes", c.payload, len(r.Err))
		}
		if r.StartedAt.IsZero() && c.payload != "goexit" {
			t.Errorf("%q: no start", c.payload)
		}
	}
}

func TestPanicTellsWhere(t *testing.T) {
	h := start(t, part(t, "scripted"))
	if r := h.do("panic"); !strings.Contains(r.Err, "parts_test.go") {
		t.Errorf("no place in %q", r.Err)
	}
}

func TestBigResultIsCut(t *testing.T) {
	h := start(t, part(t, "scripted"))
	if r := h.do("big"); r.Outcome != pluginapi.Done || len(r.Result) != 64<<10 || !r.Truncated {
		t.Errorf("%s, %d bytes, truncated %v", r.Outcome, len(r.Result), r.Truncated)
	}
}

func TestTaskArrivesWhole(t *testing.T) {
	h := start(t, echoSpec(t))
	payload := strings.Repeat("p", 1<<20)
	task := &pluginapi.Task{
		Payload: []byte(payload), Type: "email", Key: "bad \xff key",
		Headers:  map[string]string{"a": "b", "bad": "\xff"},
		Deadline: time.Now().Add(time.Minute),
	}
	h.sendTask(task)
	if r := h.result(); string(r.Result) != payload[:64<<10] || !r.Truncated {
		t.Errorf("%s, %d bytes", r.Outcome, len(r.Result))
	}
}

func TestCancelTellsCause(t *testing.T) {
	h := start(t, part(t, "scripted"))
	for _, cause := range []error{pluginapi.ErrTaskCancelled, pluginapi.ErrDraining, pluginapi.ErrLeaseLost} {
		h.Cancel(h.send("await"), cause)
		if r := h.result(); r.Outcome != pluginapi.Failed || r.Err != cause.Error() {
			t.Errorf("%v: %+v", cause, r)
		}
	}
	h.Cancel(4711, pluginapi.ErrTaskCancelled) // unknown: ignored
	h.do("still there")
}

func TestDeadlineEndsContext(t *testing.T) {
	h := start(t, part(t, "scripted"))
	begin := time.Now()
	h.sendTask(&pluginapi.Task{Payload: []byte("await"), Deadline: begin.Add(100 * time.Millisecond)})
	r := h.result()
	if took := time.Since(begin); r.Err != pluginapi.ErrTimeout.Error() || took < 90*time.Millisecond || took > 2*time.Second {
		t.Errorf("%+v after %s", r, took)
	}
	h.sendTask(&pluginapi.Task{Payload: []byte("await"), Deadline: begin}) // long over
	if r := h.result(); r.Err != pluginapi.ErrTimeout.Error() {
		t.Errorf("%+v", r)
	}
}

func TestManyTasksEachOneResult(t *testing.T) {
	h := start(t, echoSpec(t))
	const tasks = 10000
	want := make(map[int64]bool)
	for range tasks / 100 {
		var batch []pluginhost.Sending
		for range 100 {
			h.fence++
			want[h.fence] = true
			batch = append(batch, pluginhost.Sending{Task: &pluginapi.Task{ID: "t", Queue: "q", Fence: h.fence, Payload: make([]byte, 1000)}})
		}
		h.Send(batch)
	}
	for range tasks {
		r := h.result()
		if !want[r.Run] || r.Outcome != pluginapi.Done || len(r.Result) != 1000 {
			t.Fatalf("unexpected or second result: %+v", r)
		}
		delete(want, r.Run)
	}
}

func TestLinesReachTheLog(t *testing.T) {
	h := start(t, part(t, "scripted"))
	h.do("log")
	h.do("print")
	for _, line := range []string{
		"[WARN]  from the handler: handler=h attempt=1 n=7 queue=q task=t1",
		"[INFO]  printed by fmt: handler=h",
		"[INFO]  printed raw: handler=h",
	} {
		eventually(t, patience, line, func() bool { return strings.Contains(h.log.String(), line) })
	}
	if strings.Contains(h.log.String(), "unseen") {
		t.Error("a line below the level of the log")
	}
}

func TestLongLinesBlockNobody(t *testing.T) {
	h := start(t, part(t, "scripted"))
	if r := h.do("long line"); r.Outcome != pluginapi.Done {
		t.Errorf("%+v", r)
	}
	h.do("still there")
}

func TestFloodOfLinesIsBounded(t *testing.T) {
	h := start(t, part(t, "scripted"))
	h.do("flood")
	h.Stop(t.Context())
	if n := strings.Count(h.log.String(), "flood"); n > 5000 {
		t.Errorf("%d lines logged", n)
	}
	if !strings.Contains(h.log.String(), "lines dropped") {
		t.Error("nothing tells that lines were dropped")
	}
}

func TestEnvironmentIsNotInherited(t *testing.T) {
	t.Setenv("REDIS_PASSWORD", "secret")
	spec := part(t, "scripted")
	spec.Env["DECLARED"] = "yes"
	h := start(t, spec)
	environment := string(h.do("environment").Result)
	for _, name := range []string{"REDIS_PASSWORD", "PATH=", "HOME=", "LIFELINE"} {
		if strings.Contains(environment, name) {
			t.Errorf("%s reached the plugin:\n%s", name, environment)
		}
	}
	if !strings.Contains(environment, "DECLARED=yes") {
		t.Errorf("a declared variable is missing:\n%s", environment)
	}
}

func TestWithoutMTLS(t *testing.T) {
	spec := echoSpec(t)
	spec.MTLS = false
	h := start(t, spec)
	if r := h.do("x"); string(r.Result) != "x" {
		t.Errorf("%+v", r)
	}
	if !strings.Contains(h.log.String(), "neither encrypted nor authenticated") {
		t.Error("no warning")
	}
}

// A task that is sent ahead waits in the plugin for its instant; cancelled before, or come
// too late, it never starts.
func TestTaskIsSentAhead(t *testing.T) {
	h := start(t, part(t, "scripted"))
	if !h.StartsAt() {
		t.Skip("no clock that processes share")
	}
	for range 20 {
		due := time.Now().Add(5 * time.Millisecond)
		h.sendAhead("x", due, time.Time{})
		if r := h.result(); r.Outcome != pluginapi.Done || r.StartedAt.Before(due.Truncate(time.Microsecond)) {
			t.Errorf("%s, %s before its instant", r.Outcome, due.Sub(r.StartedAt))
		}
	}
	cancelled := false
	for try := 0; try < 20 && !cancelled; try++ { // the cancellation may come too late
		h.sendAhead("await", time.Now().Add(handlerpb.MaxEarly-time.Millisecond), time.Time{})
		h.Cancel(h.fence, pluginapi.ErrTaskCancelled)
		r := h.result()
		cancelled = r.Outcome == pluginapi.NotStarted && r.StartedAt.IsZero()
	}
	if !cancelled {
		t.Error("cancelled before its instant it starts")
	}
	h.sendAhead("x", time.Now().Add(time.Hour), time.Time{})
	if r := h.result(); r.Outcome != pluginapi.NotStarted {
		t.Errorf("long before its instant: %+v", r)
	}
}

// What a plugin that stands still has on its way does not begin when it goes on, once its
// last instant has passed. All else does.
func TestStoppedPluginStartsNothingLate(t *testing.T) {
	h := start(t, part(t, "scripted"))
	if !h.StartsAt() {
		t.Skip("no clock that processes share")
	}
	h.do("x") // it is at rest
	if err := syscall.Kill(h.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	stopped := func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", h.PID()))
		return err == nil && strings.Contains(string(stat), ") T ")
	}
	for deadline := time.Now().Add(patience); !stopped(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not stand still")
		}
	}
	last := time.Now().Add(50 * time.Millisecond)
	want := map[int64]pluginapi.Outcome{}
	send := func(o pluginapi.Outcome, notAfter time.Time) {
		h.sendAhead("x", time.Time{}, notAfter)
		want[h.fence] = o
	}
	for range 50 {
		send(pluginapi.NotStarted, last)
		send(pluginapi.Done, last.Add(time.Hour))
		send(pluginapi.Done, time.Time{})
	}
	time.Sleep(time.Until(last) + time.Millisecond)
	if err := syscall.Kill(h.PID(), syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	for range len(want) {
		if r := h.result(); r.Outcome != want[r.Run] || r.StartedAt.IsZero() != (r.Outcome == pluginapi.NotStarted) {
			t.Errorf("%+v, want %s", r, want[r.Run])
		}
	}
}

// All tasks of a batch run side by side, whatever becomes of those before them, also where a
// plugin has one core.
func TestTasksOfABatchAllStart(t *testing.T) {
	for _, cores := range []string{"1", "2"} {
		spec := part(t, "scripted")
		spec.Env["GOMAXPROCS"] = cores
		h := start(t, spec)
		var batch []pluginhost.Sending
		for i := range 60 {
			payload := "meet"
			switch {
			case i < 10:
				payload = "goexit"
			case i < 20:
				payload = "panic"
			}
			h.fence++
			batch = append(batch, pluginhost.Sending{Task: &pluginapi.Task{Fence: h.fence, Payload: []byte(payload)}})
		}
		h.Send(batch)
		count := map[pluginapi.Outcome]int{}
		for range batch {
			count[h.result().Outcome]++
		}
		if count[pluginapi.Done] != meet || count[pluginapi.Failed] != 20 {
			t.Errorf("%s cores: %v", cores, count)
		}
	}
}

// The result of a task that computed does not wait for those behind it.
func TestResultsAreNotKeptBehindOthers(t *testing.T) {
	spec := part(t, "scripted")
	spec.Env["GOMAXPROCS"] = "1"
	h := start(t, spec)
	var batch []pluginhost.Sending
	for range 60 {
		h.fence++
		batch = append(batch, pluginhost.Sending{Task: &pluginapi.Task{Fence: h.fence, Payload: []byte("spin")}})
	}
	h.Send(batch[:10]) // so that it knows the pace
	for range 10 {
		h.result()
	}
	h.largest.Store(0)
	h.Send(batch[10:])
	for range 50 {
		h.result()
	}
	if n := h.largest.Load(); n > 25 { // on a busy machine more than a few
		t.Errorf("%d results of 1 ms each came in one message", n)
	}
}

// Tasks that are sent ahead start in the order of their instants.
func TestAheadKeepsOrder(t *testing.T) {
	h := start(t, part(t, "scripted"))
	if !h.StartsAt() {
		t.Skip("no clock that processes share")
	}
	const n = 50
	due := time.Now().Add(5 * time.Millisecond)
	for i := range n {
		h.sendAhead("x", due.Add(time.Duration(i)*100*time.Microsecond), time.Time{})
	}
	begun := make(map[int64]time.Time)
	for range n {
		r := h.result()
		begun[r.Run] = r.StartedAt
	}
	for i := int64(2); i <= n; i++ {
		if begun[i].Before(begun[i-1]) {
			t.Errorf("task %d began %s before the one that is due before it", i, begun[i-1].Sub(begun[i]))
		}
	}
}
