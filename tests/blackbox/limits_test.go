//go:build linux

package blackbox

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/scheduler"
	"github.com/throttlerd/throttlerd/tests/proc"
)

func limit(name string, attributes ...string) string {
	out := fmt.Sprintf("limit %q {\n", name)
	for _, a := range attributes {
		out += a + "\n"
	}
	return out + "}\n"
}

func (s *site) limit(name string) scheduler.Limit {
	s.Helper()
	l, err := s.client.Limit(s.ctx(), name)
	s.must(err)
	return l
}

// holds proves that rates held in every window of grants, each of which cost so much.
func (s *site) holds(what, rates string, starts []proc.Entry, cost func(proc.Entry) int64) (sum int64) {
	s.Helper()
	var grants []ratelimit.Grant
	for _, e := range starts {
		if c := cost(e); c > 0 {
			grants = append(grants, ratelimit.Grant{At: e.GrantUs, Cost: c})
			sum += c
		}
	}
	rs, err := ratelimit.ParseRates(rates)
	s.must(err)
	for _, r := range rs {
		if err := ratelimit.Check(r, grants); err != nil {
			s.Errorf("%s, %s: %v", what, r, err)
		}
	}
	return sum
}

// span is one run as the journal has it; end is 0 while it runs.
type span struct{ from, to int64 }

// runs are the spans of what keep holds for; a run that has no finish ends with its
// process, or now.
func (s *site) runs(keep func(proc.Entry) bool, died map[int]int64) []span {
	var out []span
	open := make(map[int64]int)
	for _, e := range s.journal.Entries() {
		if !keep(e) {
			continue
		}
		if i, ok := open[e.Fence]; ok && e.Event == "finish" {
			out[i].to = e.MonoNs
			continue
		}
		open[e.Fence] = len(out)
		end := int64(1<<63 - 1)
		if at, ok := died[e.PID]; ok {
			end = at
		}
		out = append(out, span{e.MonoNs, end})
	}
	return out
}

// most is how many spans lie over one instant at most.
func most(spans []span) int {
	type edge struct {
		at   int64
		step int
	}
	var edges []edge
	for _, x := range spans {
		edges = append(edges, edge{x.from, 1}, edge{x.to, -1})
	}
	slices.SortFunc(edges, func(a, b edge) int {
		if a.at != b.at {
			return int(min(max(a.at-b.at, -1), 1))
		}
		return a.step - b.step
	})
	now, top := 0, 0
	for _, e := range edges {
		now += e.step
		top = max(top, now)
	}
	return top
}

// monotonic is the clock of the journal.
func monotonic(t *testing.T) int64 {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		t.Fatal(err)
	}
	return ts.Nano()
}

// Three workers keep all limits of a set in every window and at every instant, and each
// limit has spent what the starts under it cost.
func TestThreeWorkersUnderASet(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := s.file(s.echo(), limit("api", `rate = "200/1s:20"`, "concurrency = 12"), limit("hour", `rate = ["900/1h:400", "1000/1m:300"]`),
		queue("plain", `rate = ["50/1s:5", "300/15m:120"]`, `limits = ["api", "hour"]`),
		queue("dear", `limits = ["hour", "api"]`, "concurrency = 5"),
		queue("keys", `limits = ["api"]`, "key {\nrate = \"20/1s:2\"\nconcurrency = 2\n}", "exception \"k0\" {\nrate = \"60/1s:6\"\nconcurrency = 4\n}"))
	for range 3 {
		proc.Worker(t, file)
	}
	submit := func(queue string, n int, r scheduler.SubmitRequest) {
		var tasks []scheduler.SubmitRequest
		for i := range n {
			r.Payload = []byte(`{"sleep":"15ms"}`)
			if queue == "keys" {
				r.Key = fmt.Sprint("k", i%4)
			}
			tasks = append(tasks, r)
		}
		_, err := s.client.SubmitMany(s.ctx(), queue, tasks)
		s.must(err)
	}
	submit("plain", 100, scheduler.SubmitRequest{})
	submit("dear", 60, scheduler.SubmitRequest{Cost: 3, Costs: map[string]int64{"hour": 5}})
	submit("keys", 200, scheduler.SubmitRequest{})
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
	api := s.holds("limit api", "200/1s:20", starts, of(map[string]int64{"plain": 1, "dear": 3, "keys": 1}))
	hour := s.holds("limit hour", "900/1h:400, 1000/1m:300", starts, of(map[string]int64{"plain": 1, "dear": 5}))
	s.holds("queue plain", "50/1s:5, 300/15m:120", starts, of(map[string]int64{"plain": 1}))
	for key, rate := range map[string]string{"k0": "60/1s:6", "k1": "20/1s:2", "k2": "20/1s:2", "k3": "20/1s:2"} {
		s.holds("key "+key, rate, starts, func(e proc.Entry) int64 { return map[bool]int64{true: 1}[e.Key == key] })
	}
	for name, want := range map[string]int64{"api": api, "hour": hour} {
		if l := s.limit(name); l.Spent != want || l.Wasted != 0 || l.Running != 0 {
			t.Errorf("limit %s: %d spent of %d, %d wasted, %d running", name, l.Spent, want, l.Wasted, l.Running)
		}
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

// A limit that 200 queues share gives each its turn, and all of it to them.
func TestLimitSharedByManyQueues(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	seconds := 25
	if long() {
		seconds = 120
	}
	const queues = 200
	rates, err := ratelimit.ParseRates("100/1s:5")
	s.must(err)
	_, err = s.client.SetLimit(s.ctx(), "api", scheduler.LimitChange{Rates: &rates})
	s.must(err)
	spec := scheduler.DefaultQueue("echo")
	spec.Limits = []string{"api"}
	for i := range queues { // all of them wait before the first worker comes
		_, err := s.client.CreateQueue(s.ctx(), fmt.Sprint("q", i), spec)
		s.must(err)
		s.submit(fmt.Sprint("q", i), seconds, "{}")
	}
	file := s.file(s.echo())
	for range 3 {
		proc.Worker(t, file)
	}
	starts := s.journal.WaitStarts(seconds*100, time.Duration(seconds+30)*time.Second)
	share := make(map[string]int)
	first, last := starts[0].GrantUs, starts[0].GrantUs
	for _, e := range starts {
		share[e.Queue]++
		first, last = min(first, e.GrantUs), max(last, e.GrantUs)
	}
	s.holds("limit api", "100/1s:5", starts, func(proc.Entry) int64 { return 1 })
	least, top := len(starts), 0
	for i := range queues {
		n := share[fmt.Sprint("q", i)]
		least, top = min(least, n), max(top, n)
	}
	span := float64(last-first) / 1e6
	t.Logf("figure: %d starts of %d queues in %.2f s, each %d to %d", len(starts), queues, span, least, top)
	if top-least > 1 && float64(top-least) > 0.05*float64(len(starts))/queues {
		t.Errorf("the shares go from %d to %d", least, top)
	}
	used := 0.98 // beside all other tests; make long runs it alone
	if long() {
		used = 0.995
	}
	if ideal := span*100 + 5; float64(len(starts)) < used*ideal {
		t.Errorf("%d starts in %.2f s; %.0f are allowed", len(starts), span, ideal)
	}
}

// A 429 of one task stops all starts under the limit that it names, on all workers, for so
// long, and only there.
func TestThrottledStopsALimit(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := s.file(s.echo(), limit("api", `rate = "200/1s:5"`), queue("a", `limits = ["api"]`), queue("b", `limits = ["api"]`), queue("c", `rate = "100/1s"`))
	for range 3 {
		proc.Worker(t, file)
	}
	for _, q := range []string{"a", "b", "c"} {
		s.submit(q, 1000, "{}")
	}
	s.journal.WaitStarts(100, 10*time.Second)
	bad := s.submit("a", 1, `{"throttle":"3s","limit":"api"}`)[0]
	// it is behind the others of its queue: let those go
	proc.Eventually(t, 30*time.Second, "the 429 has come", func() bool { return len(s.journal.Finishes(proc.OfTask(bad))) > 0 })
	at := s.journal.Finishes(proc.OfTask(bad))[0].MonoNs
	s.submit("b", 100, "{}")
	proc.Eventually(t, 20*time.Second, "the freeze is over", func() bool {
		return len(s.journal.Starts(proc.OfTask(bad))) > 1
	})
	const horizon = 150 * time.Millisecond // the look-ahead, the way of the outcome, and a busy machine
	others := 0
	for _, e := range s.journal.Starts() {
		after := time.Duration(e.MonoNs - at)
		if e.Queue != "c" && after > horizon && after < 3*time.Second-50*time.Millisecond {
			t.Errorf("a task of %s started %v after the 429", e.Queue, after)
		}
		if e.Queue == "c" && after > 0 && after < 3*time.Second {
			others++
		}
		if e.Attempt != 1 {
			t.Errorf("task %s was charged", e.Task)
		}
	}
	if left := s.show("c").Waiting; others < 150 && left > 0 {
		t.Errorf("only %d starts of the other queue meanwhile, %d wait", others, left)
	}
}

// Caps hold through kills of workers, and are used while there is work.
func TestCapsThroughKills(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	kills := 6
	if long() {
		kills = 50
	}
	file := s.file(`lease = "2s"`, s.echo(), limit("api", "concurrency = 10"),
		queue("a", `limits = ["api"]`, "concurrency = 6"), queue("b", `limits = ["api"]`, "key {\nconcurrency = 3\n}"))
	workers := []*proc.Process{proc.Worker(t, file), proc.Worker(t, file), proc.Worker(t, file)}
	fill := func() {
		s.submit("a", 200, `{"sleep":"100ms"}`)
		var tasks []scheduler.SubmitRequest
		for i := range 200 {
			tasks = append(tasks, scheduler.SubmitRequest{Key: fmt.Sprint("k", i%3), Payload: []byte(`{"sleep":"100ms"}`)})
		}
		_, err := s.client.SubmitMany(s.ctx(), "b", tasks)
		s.must(err)
	}
	fill()
	died := make(map[int]int64)
	for i := range kills {
		n := len(s.journal.Starts())
		s.journal.WaitStarts(n+20, 20*time.Second)
		k := i % len(workers)
		plugin := s.plugin(workers[k])
		workers[k].Kill()
		s.noPlugin(plugin)
		died[plugin] = monotonic(t)
		workers[k] = proc.Worker(t, file)
		fill()
	}
	// after the last lease has run out, all places are used
	killed := time.Now()
	proc.Eventually(t, 10*time.Second, "the dead workers are reaped", func() bool { return time.Since(killed) > 4*time.Second })
	from := monotonic(t)
	n := len(s.journal.Finishes())
	proc.Eventually(t, 20*time.Second, "a hundred more", func() bool { return len(s.journal.Finishes()) > n+100 })
	to := monotonic(t)
	for what, x := range map[string]struct {
		cap  int
		keep func(proc.Entry) bool
	}{
		"limit api": {10, func(proc.Entry) bool { return true }},
		"queue a":   {6, proc.OfQueue("a")},
		"key k1":    {3, func(e proc.Entry) bool { return e.Key == "k1" }},
	} {
		runs := s.runs(x.keep, died)
		if n := most(runs); n > x.cap {
			t.Errorf("%s: %d ran at once of %d", what, n, x.cap)
		}
		if what == "limit api" {
			busy := int64(0)
			for _, r := range runs {
				busy += max(0, min(r.to, to)-max(r.from, from))
			}
			used := float64(busy) / float64(to-from)
			t.Logf("figure: %.2f of 10 places used after %d kills", used, kills)
			if used < 9 {
				t.Errorf("only %.2f of 10 places are used while there is work", used)
			}
		}
	}
	s.audit("a", nil)
}

// A rate for a while ends on its own, with no worker running as well, and its owner's file
// may be applied meanwhile.
func TestRateForAWhile(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := s.file(s.echo(), limit("api", `rate = "10/1s:2"`), queue("calls", `limits = ["api"]`))
	w := proc.Worker(t, file)
	s.must(func() error {
		r := proc.Ctl(t, s.here("limit", "set", "api", "--rate", "1/1h", "--for", "3s")...)
		if r.Code != 0 {
			return fmt.Errorf("code %d: %s", r.Code, r.Stderr)
		}
		return nil
	}())
	w.Signal(syscall.SIGHUP)
	if l := s.limit("api"); l.Override == nil || l.Rates.String() != "1/1h" {
		t.Errorf("%+v", l)
	}
	s.stop(w, 10*time.Second)
	until := s.limit("api").Override.Until
	proc.Eventually(t, 10*time.Second, "the override ends without a worker", func() bool { return s.limit("api").Override == nil })
	if l := s.limit("api"); l.Rates.String() != "10/1s:2" || l.At.Before(until) || l.Declared != nil {
		t.Errorf("%+v", l)
	}
	proc.Worker(t, file)
	s.submit("calls", 30, "{}")
	starts := s.journal.WaitStarts(30, 10*time.Second)
	s.holds("limit api", "10/1s:2", starts, func(proc.Entry) int64 { return 1 })
}

// Limits of a file are created by its first worker, changed by a reload, and kept when
// they leave it.
func TestReloadOfLimits(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := s.file(s.echo(), limit("api", `rate = "10/1s:2"`, "concurrency = 4"), queue("calls", `limits = ["api"]`, "debt_max = 0"))
	w := proc.Worker(t, file)
	if l := s.limit("api"); l.Rates.String() != "10/1s:2" || l.Concurrency != 4 || l.Owner != "default" || !slices.Equal(l.Queues, []string{"calls"}) {
		t.Fatalf("%+v", l)
	}
	s.rewrite(file, s.echo(), limit("api", `rate = ["20/1s:2", "100/1m:50"]`), limit("more", "concurrency = 1"),
		queue("calls", `limits = ["api", "more"]`, "concurrency = 3"))
	w.Signal(syscall.SIGHUP)
	proc.Eventually(t, 5*time.Second, "the file is applied", func() bool { return s.limit("api").Concurrency == 0 && len(s.show("calls").Limits) == 2 })
	if l, q := s.limit("api"), s.show("calls"); l.Rates.String() != "20/1s:2, 100/1m:50" || q.Concurrency != 3 {
		t.Errorf("%+v\n%+v", l, q)
	}
	s.rewrite(file, s.echo(), queue("calls"))
	w.Signal(syscall.SIGHUP)
	proc.Eventually(t, 5*time.Second, "the file is applied", func() bool { return len(s.show("calls").Limits) == 0 && s.limit("api").Undeclared })
	if r := proc.Ctl(t, s.here("limit", "remove", "api", "--yes")...); r.Code != 0 {
		t.Errorf("code %d: %s", r.Code, r.Stderr)
	}
	if r := proc.Ctl(t, s.here("limit", "show", "api")...); r.Code != 3 {
		t.Errorf("code %d: %s", r.Code, r.Stderr)
	}
}
