//go:build linux

package blackbox

import (
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/tests/proc"
)

// A 429 of one task stops all starts under the limit that it names, a named one, its key's
// or its queue's own, on all workers, within the look-ahead, for so long, and only there.
// No attempt is charged.
func TestThrottledStopsALimit(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const slowDown = 3 * time.Second
	file := s.file(s.echo(), limit("api", `rate = "100/1s:5"`),
		queue("a", `limits = ["api"]`), queue("b", `limits = ["api"]`), queue("bad", `limits = ["api"]`),
		queue("keys", `rate = "100/1s:50"`, "key {}"),
		queue("own", `rate = "100/1s:50"`),
		queue("other", `rate = "100/1s:50"`))
	s.three(file)
	for _, q := range []string{"a", "b", "own", "other"} {
		s.submit(q, 1500, "{}")
	}
	s.submitKeys("keys", 700, "{}", "k1", "k2")
	s.journal.WaitStarts(100, 10*time.Second)

	frozen := []struct {
		what  string
		task  string                // that was told to slow down
		until func(id string) int64 // how long its limit is frozen, 0 while it is not
		under func(proc.Entry) bool
	}{
		{"limit api", s.submit("bad", 1, `{"throttle":"3s","limit":"api"}`)[0],
			func(string) int64 { return micros(s.limit("api").FrozenUntil) },
			func(e proc.Entry) bool { return e.Queue == "a" || e.Queue == "b" || e.Queue == "bad" }},
		{`key "k0"`, s.submitKeys("keys", 1, `{"throttle":"3s","limit":"key"}`, "k0")[0],
			func(id string) int64 {
				if b := s.task(id).Binding; b != nil && b.Limit == `key "k0"` && b.Why == "frozen" {
					return micros(b.Next)
				}
				return 0
			},
			func(e proc.Entry) bool { return e.Queue == "keys" && e.Key == "k0" }},
	}
	s.submitKeys("keys", 50, "{}", "k0") // behind the one that is told to slow down
	untils := make([]int64, len(frozen))
	for i, f := range frozen {
		proc.Eventually(t, 10*time.Second, f.what+" is frozen", func() bool {
			untils[i] = f.until(f.task)
			return untils[i] != 0
		})
	}
	proc.Eventually(t, 20*time.Second, "both run again after it", func() bool {
		for _, f := range frozen {
			if len(s.journal.Starts(proc.OfTask(f.task))) < 2 {
				return false
			}
		}
		return true
	})
	for i, f := range frozen {
		until, from := untils[i], untils[i]-slowDown.Microseconds()
		within := func(e proc.Entry, from int64) bool { return e.GrantUs > from && e.GrantUs < until }
		for _, e := range s.journal.Starts(f.under) {
			if within(e, from+lookahead.Microseconds()) {
				t.Errorf("%s: a task of %s starts %v after the 429", f.what, e.Queue, time.Duration(e.GrantUs-from)*time.Microsecond)
			}
		}
		if again := s.journal.Starts(proc.OfTask(f.task))[1]; again.GrantUs < until {
			t.Errorf("%s: the task runs again %v before the freeze ends", f.what, time.Duration(until-again.GrantUs)*time.Microsecond)
		}
		n := make(map[string]int)
		for _, e := range s.journal.Starts() {
			if within(e, from) {
				n[e.Queue]++
			}
		}
		t.Logf("figure: %s frozen for %v: others meanwhile %v", f.what, slowDown, n)
		for _, q := range []string{"own", "other", "keys"} { // they go on: 300 tokens come in 3 s, and 50 may be used late
			if n[q] < 245 {
				t.Errorf("%s is frozen, and queue %s has only %d starts meanwhile", f.what, q, n[q])
			}
		}
		got := s.task(f.task)
		proc.Eventually(t, 10*time.Second, "its second run is settled", func() bool { // while it runs, that counts
			got = s.task(f.task)
			return got.State != "running"
		})
		if got.Attempts != 0 || got.Throttles == 0 {
			t.Errorf("%s: %d attempts charged, %d throttles", f.what, got.Attempts, got.Throttles)
		}
	}
	for _, e := range s.journal.Starts() {
		if e.Attempt != 1 {
			t.Errorf("task %s of %s was charged", e.Task, e.Queue)
		}
	}
}

// micros is an instant as the journal has it; 0 for none.
func micros(at time.Time) int64 {
	if at.IsZero() {
		return 0
	}
	return at.UnixMicro()
}
