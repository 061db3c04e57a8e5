//go:build linux

package blackbox

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/scheduler"
	"github.com/throttlerd/throttlerd/tests/proc"
)

func byGrant(a, b proc.Entry) int { return cmp.Compare(a.GrantUs, b.GrantUs) }

func TestThreeWorkersShareARate(t *testing.T) {
	s := newSite(t)
	file := s.file(s.echo(), queue("calls", `rate = "10/1s:5"`))
	for range 3 {
		proc.Worker(t, file)
	}
	ids := s.submit("calls", 100, "{}")
	starts := s.journal.WaitStarts(100, 30*time.Second)
	s.waitDone("calls", 100, 5*time.Second)
	s.once(ids)
	s.audit("calls", ids)
	s.bound("10/1s:5", starts)
	slices.SortFunc(starts, byGrant)

	worst := time.Duration(0) // of any grant against the ideal one
	for i, e := range starts {
		ideal := time.Duration(max(0, i-4)) * 100 * time.Millisecond
		worst = max(worst, time.Duration(e.GrantUs-starts[0].GrantUs)*time.Microsecond-ideal)
	}
	if worst > 50*time.Millisecond {
		t.Errorf("a grant came %v after its ideal instant", worst)
	}
	last := time.Duration(starts[99].StartUs-starts[0].GrantUs) * time.Microsecond
	ideal := 9500 * time.Millisecond
	t.Logf("figure: last start %v after the first grant, ideal %v; worst grant %v after its ideal instant", last, ideal, worst)
	if off := last - ideal; off < 0 || off > ideal/100 {
		t.Errorf("last start %v after the first grant; ideal is %v", last, ideal)
	}
	pids := make(map[int]int)
	for _, e := range starts {
		pids[e.PID]++
	}
	t.Logf("figure: starts by plugin process %v", pids)
}

func TestThousandASecond(t *testing.T) {
	tasks := 3000
	if long() {
		tasks = 20_000
	}
	s := newSite(t)
	file := s.file(s.echo("concurrency = 128"), queue("fast", `rate = "1000/1s"`, "paused = true"))
	w := proc.Worker(t, file)
	ids := s.submit("fast", tasks, "{}")
	plugin := s.plugin(w)
	claims, cpu, began := s.claims(w), proc.CPU(t, w.PID)+proc.CPU(t, plugin), time.Now()
	s.must(s.client.Resume(s.ctx(), "fast"))
	starts := s.journal.WaitStarts(tasks, time.Duration(tasks)*2*time.Millisecond+20*time.Second)
	took := time.Since(began)
	claims, cpu = s.claims(w)-claims, proc.CPU(t, w.PID)+proc.CPU(t, plugin)-cpu
	s.waitDone("fast", tasks, 5*time.Second)
	s.once(ids)
	s.bound("1000/1s", starts)

	slices.SortFunc(starts, byGrant)
	span := time.Duration(starts[tasks-1].StartUs-starts[0].StartUs) * time.Microsecond
	median, p99 := late(starts)
	perSecond := float64(claims) / took.Seconds()
	t.Logf("figure: 1000/1s: %.2f %% of the rate over %d tasks, late by median %v, p99 %v; %.0f claims/s; worker and plugin %.2f cores",
		100*float64(tasks-1)/1000/span.Seconds(), tasks, median, p99, perSecond, cpu.Seconds()/took.Seconds())
	if perSecond > 100 {
		t.Errorf("%.0f claim calls a second; at most 100 are needed", perSecond)
	}
}

func TestWithoutLookahead(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := s.file(`lookahead = "0s"`, s.echo(), queue("calls", `rate = "50/1s:5"`))
	for range 2 {
		proc.Worker(t, file)
	}
	ids := s.submit("calls", 100, "{}")
	starts := s.journal.WaitStarts(100, 30*time.Second)
	s.waitDone("calls", 100, 5*time.Second)
	s.once(ids)
	s.bound("50/1s:5", starts)
	slices.SortFunc(starts, byGrant)
	t.Logf("figure: without look-ahead: last grant after %v, ideal 1.9s", time.Duration(starts[99].GrantUs-starts[0].GrantUs)*time.Microsecond)
}

// The rate changes while tasks wait; the bound holds over the change.
func TestRateChangesUnderLoad(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := s.file(s.echo(), queue("calls", `rate = "20/1s:10"`))
	for range 2 {
		proc.Worker(t, file)
	}
	ids := s.submit("calls", 150, "{}")
	rates := []string{"20/1s:10", "100/1s:3", "10/1s:8", "200/1s"}
	var epochs []ratelimit.Epoch
	for i, text := range rates {
		r, err := ratelimit.Parse(text)
		s.must(err)
		var from int64
		if i > 0 {
			s.journal.WaitStarts(25*i, 30*time.Second)
			before, err := s.client.Now(s.ctx())
			s.must(err)
			s.must(s.client.UpdateQueue(s.ctx(), "calls", scheduler.QueueChange{Rates: &ratelimit.Rates{r}}))
			after, err := s.client.Now(s.ctx())
			s.must(err)
			from = before.UnixMicro() // the instant of the change lies between the two
			if r.N < epochs[i-1].Rate.N {
				from = after.UnixMicro() + 50_000 // what is reserved stays: a lower rate is in force within the look-ahead
			}
		}
		epochs = append(epochs, ratelimit.Epoch{From: from, Rate: r})
	}
	starts := s.journal.WaitStarts(150, 30*time.Second)
	s.waitDone("calls", 150, 5*time.Second)
	s.once(ids)
	var grants []int64
	for _, e := range starts {
		grants = append(grants, e.GrantUs)
	}
	if err := ratelimit.CheckEpochs(epochs, 0, ratelimit.Grants(grants...)); err != nil {
		t.Errorf("grants break the changed rates: %v", err)
	}
}
