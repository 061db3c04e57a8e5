//go:build linux

package blackbox

import (
	"fmt"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/scheduler"
	"github.com/throttlerd/throttlerd/tests/proc"
)

// Three workers keep all limits of a set in every window and at every instant, and each
// limit has spent what the starts under it cost.
func TestThreeWorkersUnderASet(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := s.file(s.echo(), limit("api", `rate = "200/1s:20"`, "concurrency = 12"), limit("hour", `rate = ["900/1h:400", "1000/1m:300"]`),
		queue("plain", `rate = ["50/1s:5", "300/15m:120"]`, `limits = ["api", "hour"]`),
		queue("dear", `limits = ["hour", "api"]`, "concurrency = 5"),
		queue("keys", `limits = ["api"]`, "key {\nrate = \"20/1s:2\"\nconcurrency = 2\n}", "exception \"k0\" {\nrate = \"60/1s:6\"\nconcurrency = 4\n}"))
	s.three(file)
	costs := map[string]map[string]int64{"api": {}, "hour": {}} // by limit and task
	submit := func(queue string, n int, r scheduler.SubmitRequest, api, hour int64) {
		var tasks []scheduler.SubmitRequest
		for i := range n {
			r.Payload = []byte(`{"sleep":"15ms"}`)
			if queue == "keys" {
				r.Key = fmt.Sprint("k", i%4)
			}
			tasks = append(tasks, r)
		}
		receipts, err := s.client.SubmitMany(s.ctx(), queue, tasks)
		s.must(err)
		for _, r := range receipts {
			costs["api"][r.ID], costs["hour"][r.ID] = api, hour
		}
	}
	submit("plain", 100, scheduler.SubmitRequest{}, 1, 1)
	submit("dear", 60, scheduler.SubmitRequest{Cost: 3, Costs: map[string]int64{"hour": 5}}, 3, 5)
	submit("keys", 200, scheduler.SubmitRequest{}, 1, 0)
	for queue, n := range map[string]int{"plain": 100, "dear": 60, "keys": 200} {
		s.waitDone(queue, n, 60*time.Second)
	}
	starts := s.journal.Starts()
	if len(starts) != 360 {
		t.Fatalf("%d starts", len(starts))
	}
	of := func(costs map[string]int64) func(proc.Entry) int64 {
		return func(e proc.Entry) int64 { return costs[e.Queue] }
	}
	for name, rates := range map[string]string{"api": "200/1s:20", "hour": "900/1h:400, 1000/1m:300"} {
		s.holds("limit "+name, rates, starts, func(e proc.Entry) int64 { return costs[name][e.Task] })
		l := s.limit(name)
		s.accounted("limit "+name, l.Spent, l.Wasted, func(task string) int64 { return costs[name][task] })
		if l.Running != 0 {
			t.Errorf("limit %s: %d places are held, though nothing runs", name, l.Running)
		}
	}
	s.holds("queue plain", "50/1s:5, 300/15m:120", starts, of(map[string]int64{"plain": 1}))
	for key, rate := range map[string]string{"k0": "60/1s:6", "k1": "20/1s:2", "k2": "20/1s:2", "k3": "20/1s:2"} {
		s.holds("key "+key, rate, starts, func(e proc.Entry) int64 { return map[bool]int64{true: 1}[e.Key == key] })
	}
	for what, x := range map[string]struct {
		cap  int
		keep func(proc.Entry) bool
	}{
		"limit api":  {12, func(e proc.Entry) bool { return true }},
		"queue dear": {5, proc.OfQueue("dear")},
		"key k0":     {4, func(e proc.Entry) bool { return e.Key == "k0" }},
		"key k1":     {2, func(e proc.Entry) bool { return e.Key == "k1" }},
	} {
		if n := most(s.runs(x.keep, nil)); n > x.cap {
			t.Errorf("%s: %d ran at once of %d", what, n, x.cap)
		}
	}
}
