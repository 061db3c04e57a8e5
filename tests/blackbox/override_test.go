//go:build linux

package blackbox

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/scheduler"
	"github.com/throttlerd/throttlerd/tests/proc"
)

// override is a rate for a while, of a queue or of a limit.
type override struct {
	what, queue string
	base, rate  string
	set         func(ratelimit.Rates, time.Duration) error
	show        func() (ratelimit.Rates, scheduler.Bucket)
}

func (s *site) overrides() []override {
	return []override{
		{"limit api", "shared", "20/1s:2", "60/1s:4",
			func(rs ratelimit.Rates, d time.Duration) error {
				_, err := s.client.SetLimit(s.ctx(), "api", scheduler.LimitChange{Rates: &rs, For: d, By: "test"})
				return err
			},
			func() (ratelimit.Rates, scheduler.Bucket) { l := s.limit("api"); return l.Rates, l.Bucket }},
		{"queue own", "own", "20/1s:2", "5/1s",
			func(rs ratelimit.Rates, d time.Duration) error {
				return s.client.UpdateQueue(s.ctx(), "own", scheduler.QueueChange{Rates: &rs, For: d, By: "test"})
			},
			func() (ratelimit.Rates, scheduler.Bucket) { q := s.show("own"); return q.Rates, q.Bucket }},
	}
}

func overridden(s *site, tail ...string) []string {
	return append([]string{s.echo(), limit("api", `rate = "20/1s:2"`),
		queue("shared", `limits = ["api"]`), queue("own", `rate = "20/1s:2"`)}, tail...)
}

// begin sets a rate for a while, and says between which two instants it began.
func (o override) begin(s *site, d time.Duration) (from, to int64) {
	s.Helper()
	before, err := s.client.Now(s.ctx())
	s.must(err)
	s.must(o.set(s.rates(o.rate), d))
	after, err := s.client.Now(s.ctx())
	s.must(err)
	return before.UnixMicro(), after.UnixMicro()
}

// inForce demands that the rate for a while is in force, and says until when.
func (o override) inForce(s *site, when string) time.Time {
	s.Helper()
	rs, b := o.show()
	if b.Override == nil || rs.String() != o.rate || b.Override.Base.String() != o.base {
		s.Fatalf("%s %s: rate %s, %+v", o.what, when, rs, b)
	}
	return b.Override.Until
}

// A rate for a while holds over a reload and a restart, and ends on its own, exactly then.
func TestRateForAWhile(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := s.file(overridden(s)...)
	workers := s.three(file)
	list := s.overrides()
	for _, o := range list {
		s.submit(o.queue, 260, "{}")
	}
	s.journal.WaitStarts(20, 10*time.Second)
	began, ends := make([][2]int64, len(list)), make([]time.Time, len(list))
	for i, o := range list {
		from, to := o.begin(s, 3*time.Second)
		began[i] = [2]int64{from, to}
		ends[i] = o.inForce(s, "when it was set")
		// behind what is reserved already, which the look-ahead bounds
		if at := ends[i].UnixMicro() - (3 * time.Second).Microseconds(); at < from || at > to+lookahead.Microseconds() {
			t.Errorf("%s: the override ends %v, set between %d and %d", o.what, ends[i], from, to)
		}
	}
	s.rewrite(file, overridden(s, queue("added"))...)
	for _, w := range workers {
		w.Signal(syscall.SIGHUP)
	}
	s.waitQueue("added")
	for _, w := range workers {
		w.WaitLog("reloaded: queues=", 5*time.Second)
	}
	s.stop(workers[0], 10*time.Second)
	proc.Worker(t, file) // applies the file anew
	for i, o := range list {
		if now, err := s.client.Now(s.ctx()); err == nil && now.Add(100*time.Millisecond).After(ends[i]) {
			t.Logf("%s: the machine was too busy to look before the override ended", o.what)
		} else if until := o.inForce(s, "after a reload and a restart"); !until.Equal(ends[i]) {
			t.Errorf("%s: a reload or a restart moved the end from %v to %v", o.what, ends[i], until)
		}
	}
	for i, o := range list {
		proc.Eventually(t, 10*time.Second, o.what+" has its rate again", func() bool { _, b := o.show(); return b.Override == nil })
		if rs, b := o.show(); rs.String() != o.base || b.At.Before(ends[i]) || b.LastEdit == nil || b.LastEdit.By != "test" {
			t.Errorf("%s: %s at %v, override until %v, last edit %+v", o.what, rs, b.At, ends[i], b.LastEdit)
		}
		proc.Eventually(t, 20*time.Second, "40 starts after the end", func() bool {
			return len(s.journal.Starts(func(e proc.Entry) bool { return e.Queue == o.queue && e.GrantUs > ends[i].UnixMicro() })) >= 40
		})
		o.check(s, began[i], ends[i].UnixMicro())
	}
}

// check holds the starts against the rates: before, for a while, and after, exactly.
func (o override) check(s *site, began [2]int64, end int64) {
	s.Helper()
	base, rate := s.rates(o.base)[0], s.rates(o.rate)[0]
	from := began[0]
	if rate.N < base.N {
		from = began[1] + lookahead.Microseconds() // what is reserved stays: a lower rate is in force within the look-ahead
	}
	var grants []ratelimit.Grant
	during, last := 0, int64(0)
	for _, e := range s.journal.Starts(proc.OfQueue(o.queue)) {
		grants = append(grants, ratelimit.Grant{At: e.GrantUs, Cost: 1})
		if e.GrantUs >= from && e.GrantUs < end {
			during, last = during+1, max(last, e.GrantUs)
		}
	}
	if err := ratelimit.CheckEpochs([]ratelimit.Epoch{{Rate: base}, {From: from, Rate: rate}, {From: end, Rate: base}}, 0, grants); err != nil {
		s.Errorf("%s: %v", o.what, err)
	}
	ideal := float64(end-from) / 1e6 * float64(rate.N) / rate.Period.Seconds()
	s.Logf("figure: %s: %d starts while it was %s, ideal %.1f", o.what, during, o.rate, ideal)
	if n := float64(during); n < 0.9*ideal-1 {
		s.Errorf("%s: %d starts while it was %s, ideal %.1f", o.what, during, o.rate, ideal)
	}
}

// It ends with no worker running as well, and throttlectl says so.
func TestRateForAWhileWithoutAWorker(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := s.file(overridden(s)...)
	s.stop(proc.Worker(t, file), 10*time.Second)
	for _, args := range [][]string{
		{"limit", "set", "api", "--rate", "60/1s:4", "--for", "3s"},
		{"queue", "update", "own", "--rate", "5/1s", "--for", "3s"},
	} {
		if r := proc.Ctl(t, s.here(args...)...); r.Code != 0 {
			t.Fatalf("%v: code %d: %s", args, r.Code, r.Stderr)
		}
	}
	for _, o := range s.overrides() {
		until := o.inForce(s, "when it was set")
		proc.Eventually(t, 10*time.Second, o.what+" has its rate again", func() bool { _, b := o.show(); return b.Override == nil })
		if rs, b := o.show(); rs.String() != o.base || b.At.Before(until) {
			t.Errorf("%s: %s at %v, override until %v", o.what, rs, b.At, until)
		}
	}
	if l, q := s.limit("api"), s.show("own"); l.Declared != nil || q.Declared != nil {
		t.Errorf("what is as declared is shown as changed: %+v\n%+v", l.Declared, q.Declared)
	}
	s.submit("shared", 30, "{}")
	s.submit("own", 30, "{}")
	proc.Worker(t, file)
	s.journal.WaitStarts(60, 20*time.Second)
	for _, o := range s.overrides() {
		s.holds(fmt.Sprint(o.what, " afterwards"), o.base, s.journal.Starts(proc.OfQueue(o.queue)), one)
	}
}
