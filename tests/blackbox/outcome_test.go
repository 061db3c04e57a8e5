//go:build linux

package blackbox

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/scheduler"
	"github.com/throttlerd/throttlerd/tests/proc"
)

func TestOutcomes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	w := proc.Worker(t, s.file(s.echo(), queue("jobs", `timeout = "300ms"`, `retry {
  max_attempts = 2
  min          = "1ms"
  max          = "2ms"
}`)))
	one := func(payload string) string { return s.submit("jobs", 1, payload)[0] }
	dead := func(id, lastError string, attempts int) {
		t.Helper()
		x := s.waitState(id, "dead", 10*time.Second)
		if !strings.Contains(x.LastError, lastError) || x.Attempts != attempts {
			t.Errorf("dead after %d attempts with %q; want %d, %q", x.Attempts, x.LastError, attempts, lastError)
		}
	}
	done := one(`{"a": 1}`)
	fails := one(`{"fail": "boom"}`)
	panics := one(`{"panic": "aargh"}`)
	hangs := one(`{"sleep": "1h"}`)
	if x := s.waitState(done, "done", 5*time.Second); string(x.Result) != `{"a": 1}` || x.Attempts != 1 || x.Worker != w.ID() {
		t.Errorf("%+v", x)
	}
	dead(fails, "boom", 2)
	dead(panics, "aargh", 2)
	dead(hangs, "timed out", 2)

	running := one(`{"sleep": "200ms"}`)
	s.journal.WaitStarts(1, 5*time.Second)
	s.waitState(running, "running", 5*time.Second)
	if state, err := s.client.Cancel(s.ctx(), running); err != nil || state != "running" {
		t.Errorf("cancel: %s %v", state, err)
	}
	s.waitState(running, "cancelled", 5*time.Second)

	r, err := s.client.Submit(s.ctx(), scheduler.SubmitRequest{Queue: "jobs", In: 300 * time.Millisecond, Payload: []byte(`{}`)})
	s.must(err)
	at := s.task(r.ID).At
	s.waitState(r.ID, "done", 5*time.Second)
	start := s.journal.Starts(proc.OfTask(r.ID))[0]
	if late := start.StartUs - at.UnixMicro(); late < 0 {
		t.Errorf("a delayed task started %d µs early", -late)
	} else {
		t.Logf("figure: a delayed task started %d µs after its instant", late)
	}
}

// One throttled task stops its queue on every worker, and only that queue.
func TestThrottledStopsTheQueueEverywhere(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := s.file(s.echo(), queue("slow", `rate = "100/1s:10"`), queue("free"))
	for range 3 {
		proc.Worker(t, file)
	}
	const freeze = time.Second
	first := s.submit("slow", 1, fmt.Sprintf(`{"throttle": %q}`, freeze))[0]
	s.journal.WaitStarts(1, 5*time.Second)
	proc.Eventually(t, 5*time.Second, "the freeze", func() bool { return !s.show("slow").FrozenUntil.IsZero() })
	until := s.show("slow").FrozenUntil
	_, err := s.client.Cancel(s.ctx(), first) // it would throttle again
	s.must(err)
	s.submit("slow", 50, `{}`)
	s.waitState(s.submit("free", 1, `{}`)[0], "done", 900*time.Millisecond)
	s.waitDone("slow", 50, 10*time.Second)
	for _, e := range s.journal.Starts(proc.OfQueue("slow")) {
		if e.Task != first && e.GrantUs < until.UnixMicro() {
			t.Errorf("task %s was granted %d µs before the end of the freeze", e.Task, until.UnixMicro()-e.GrantUs)
		}
	}
}

// The task that ends its plugin's process is dead at its third crash; its neighbours
// are done, uncharged, and the worker lives.
func TestPoison(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	w := proc.Worker(t, s.file(s.echo(), queue("jobs")))
	neighbours := s.submit("jobs", 10, `{"sleep": "150ms"}`)
	poison := s.submit("jobs", 1, `{"exit": 3}`)[0]
	x := s.waitState(poison, "dead", 20*time.Second)
	if x.Crashes != 3 || x.Attempts != 0 || !strings.Contains(x.LastError, "code 3") {
		t.Errorf("%+v", x)
	}
	for _, id := range neighbours {
		if n := s.waitState(id, "done", 10*time.Second); n.Attempts != 1 {
			t.Errorf("a neighbour took %d attempts", n.Attempts)
		}
	}
	if w.Exited() {
		t.Error("the worker went down with its plugin")
	}
}

// A handler that tells of a limit which its queue is not under is said to do so, once.
func TestLimitNotChargedIsTold(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	w := proc.Worker(t, s.file(s.echo(), limit("api", `rate = "100/1s:5"`), queue("a", `limits = ["api"]`), queue("b")))
	s.submit("a", 3, `{"actual":{"api":1,"apy":3}}`)
	s.submit("b", 3, `{"report":[{"limit":"api","remaining":0,"reset":"1m"}]}`)
	proc.Eventually(t, 10*time.Second, "all are done", func() bool { return s.show("a").Completed == 3 && s.show("b").Completed == 3 })
	proc.Eventually(t, 5*time.Second, "both are told", func() bool { return strings.Count(w.Log(), "was not charged") == 2 })
	for _, said := range []string{"queue=a limit=apy", "queue=b limit=api"} {
		if strings.Count(w.Log(), said) != 1 {
			t.Errorf("%q is not said once:\n%s", said, w.Log())
		}
	}
	if l := s.limit("api"); !l.FrozenUntil.IsZero() {
		t.Errorf("limit api is frozen by a queue that is not under it until %v", l.FrozenUntil)
	}
}
