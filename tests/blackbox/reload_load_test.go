//go:build linux

package blackbox

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/scheduler"
	"github.com/throttlerd/throttlerd/tests/proc"
)

// reloadQueues are the rates that the file gives each queue, one reload after another.
// Within a queue the rates are ordered: one is below another in speed and burst alike.
var reloadQueues = map[string][]string{
	"steady": {"150/1s:15"},
	"swings": {"300/1s:30", "100/1s:10"},
	"shifts": {"120/1s:3", "200/1s:5", "280/1s:9", "160/1s:4", "240/1s:7"},
	"leaves": {"200/1s:20"},
	"open":   {""},
}

// reloadMistakes are files that must be refused: the changes of that turn, and this.
var reloadMistakes = []string{
	queue("phantom", `rate = "often"`),
	queue("phantom", `rat = "1/1s"`),
	`queue "phantom" { handler = "eco" }`,
	`queue "phantom" {`,
	queue("phantom") + `handler "gone" {}`,
	queue("phantom") + `owner = "somebody"`,
	queue("foreign"), // another owner declares it, which only Redis knows
}

// A hundred reloads while tasks are submitted and run, by two workers of one file. Each
// is applied as a whole or refused as a whole; no task is lost or run twice; grants keep
// the rates.
func TestReloadHundredTimesUnderLoad(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	l := &reloads{site: s, file: s.file(), submitted: make(map[string][]string), spans: make(map[string][]rateSpan)}
	s.must(s.client.Apply(s.ctx(), scheduler.Declaration{
		Owner: "others", Queues: map[string]scheduler.QueueSpec{"foreign": scheduler.DefaultQueue("echo")},
	}))
	l.write(0, "")
	for range 2 {
		w := proc.Worker(t, l.file)
		l.workers = append(l.workers, w)
		l.plugins = append(l.plugins, s.plugin(w))
	}
	l.inForce(0, 0, 0)

	stop := make(chan struct{})
	var producers sync.WaitGroup
	for name := range reloadQueues {
		producers.Go(func() { l.produce(name, stop) })
	}
	var quit sync.Once
	end := func() { quit.Do(func() { close(stop) }); producers.Wait() }
	defer end()
	s.journal.WaitStarts(100, 10*time.Second)
	files := l.descriptors()
	const turns = 100
	began, refused := time.Now(), 0
	for turn := 1; turn <= turns; turn++ {
		mistake := ""
		if turn%8 == 3 {
			mistake = reloadMistakes[refused%len(reloadMistakes)]
			refused++
		}
		l.reload(turn, mistake)
		s.journal.WaitMore(90, 10*time.Second)
	}
	took := time.Since(began)
	end()

	var ids []string
	for _, list := range l.submitted {
		ids = append(ids, list...)
	}
	s.journal.WaitStarts(len(ids), 30*time.Second)
	for name, list := range l.submitted {
		s.waitDone(name, len(list), 10*time.Second)
		s.audit(name, list)
	}
	s.once(ids)
	l.bounds()
	for i, w := range l.workers {
		if w.Exited() || s.plugin(w) != l.plugins[i] || strings.Count(w.Log(), "worker serves") != 1 {
			t.Errorf("worker %d did not live through the reloads as it was", w.PID)
		}
	}
	if n := l.descriptors(); n > files+20 { // connections may come; a leak would be one a reload
		t.Errorf("the workers have %d files open, %d before the reloads", n, files)
	}
	t.Logf("figure: %d reloads, %d of them refused, in %v; %d tasks ran once", turns, refused, took.Round(time.Millisecond), len(ids))
}

// reloads is the state of the test above.
type reloads struct {
	*site
	file    string
	workers []*proc.Process
	plugins []int
	applied int // the turn whose file is in force

	mu        sync.Mutex
	submitted map[string][]string

	spans map[string][]rateSpan
}

// rateSpan is a rate and when it may have been in force, at the longest; a queue that is
// away has the rate "".
type rateSpan struct {
	rate     string
	from, to int64
}

// rateIn is a queue's rate in the file of a turn, and whether that file has it.
func rateIn(name string, turn int) (rate string, there bool) {
	rates := reloadQueues[name]
	return rates[turn%len(rates)], name != "leaves" || turn%10 != 5 && turn%10 != 6
}

func (l *reloads) write(turn int, mistake string) {
	l.Helper()
	parts := []string{l.echo()}
	for name := range reloadQueues {
		rate, there := rateIn(name, turn)
		switch {
		case there && rate == "":
			parts = append(parts, queue(name))
		case there:
			parts = append(parts, queue(name, fmt.Sprintf("rate = %q", rate)))
		}
	}
	l.rewrite(l.file, append(parts, mistake)...)
}

// reload changes the file and tells the workers, by turns and now and then both; it
// returns when they have said what became of it, and that is so.
func (l *reloads) reload(turn int, mistake string) {
	l.Helper()
	l.write(turn, mistake)
	told := []*proc.Process{l.workers[turn%2]}
	if turn%5 == 0 {
		told = l.workers
	}
	want, other := "reloaded: queues=", "reload refused"
	if mistake != "" {
		want, other = other, want
	}
	count := func(text string) (n int) {
		for _, w := range told {
			n += strings.Count(w.Log(), text)
		}
		return n
	}
	done, not := count(want), count(other)
	from := l.now()
	for _, w := range told {
		w.Signal(syscall.SIGHUP)
	}
	proc.Eventually(l, 10*time.Second, fmt.Sprintf("turn %d: %q", turn, want), func() bool {
		if count(other) > not {
			l.Fatalf("turn %d: %q, not %q: %s", turn, other, want, mistake)
		}
		return count(want) == done+len(told)
	})
	if mistake == "" {
		l.inForce(turn, from, l.now())
	}
	l.check(turn)
}

func (l *reloads) now() int64 {
	l.Helper()
	now, err := l.client.Now(l.ctx())
	l.must(err)
	return now.UnixMicro()
}

// inForce notes that the file of a turn was applied between two instants. What a worker
// has reserved by then it still starts: that is the look-ahead of 50 ms.
func (l *reloads) inForce(turn int, from, to int64) {
	l.applied = turn
	for name := range reloadQueues {
		rate, there := rateIn(name, turn)
		if !there {
			rate = ""
		}
		spans := l.spans[name]
		if n := len(spans); n > 0 {
			spans[n-1].to = to + 50_000
		}
		l.spans[name] = append(spans, rateSpan{rate, from, 1 << 62})
	}
}

// check demands that the file of the turn that was applied last is in force, all of it,
// and nothing of another.
func (l *reloads) check(turn int) {
	l.Helper()
	queues, err := l.client.Queues(l.ctx())
	l.must(err)
	seen := 0
	for _, q := range queues {
		if q.Name == "foreign" {
			continue
		}
		if reloadQueues[q.Name] == nil {
			l.Errorf("turn %d: there is a queue %q", turn, q.Name)
			continue
		}
		seen++
		rate, there := rateIn(q.Name, l.applied)
		var want ratelimit.Rate
		if rate != "" {
			want, err = ratelimit.Parse(rate)
			l.must(err)
		}
		if q.Undeclared == there || there && q.Rates.String() != want.String() || q.Declared != nil {
			l.Errorf("turn %d: after the file of turn %d, with %q (%v), the queue is %+v", turn, l.applied, rate, there, q)
		}
	}
	if seen != len(reloadQueues) {
		l.Errorf("turn %d: %d queues", turn, seen)
	}
}

// produce keeps a queue from running empty, and keeps the ids of what was acknowledged.
func (l *reloads) produce(queue string, stop <-chan struct{}) {
	tasks := make([]scheduler.SubmitRequest, 6)
	for i := range tasks {
		tasks[i].Payload = []byte(`{"sleep": "3ms"}`)
	}
	tick := time.NewTicker(12 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		q, err := l.client.Queue(l.ctx(), queue)
		if err != nil {
			l.Errorf("queue %s: %v", queue, err)
			return
		}
		if q.Waiting > 50 {
			continue
		}
		receipts, err := l.client.SubmitMany(l.ctx(), queue, tasks)
		if err != nil {
			l.Errorf("submit to %s: %v", queue, err)
			return
		}
		l.mu.Lock()
		for _, r := range receipts {
			l.submitted[queue] = append(l.submitted[queue], r.ID)
		}
		l.mu.Unlock()
	}
}

// bounds holds the grants of each queue against the fastest rate that may have been in
// force at each instant, and none at all while it was away.
func (l *reloads) bounds() {
	l.Helper()
	for name, spans := range l.spans {
		var grants []int64
		for _, e := range l.journal.Starts(proc.OfQueue(name)) {
			grants = append(grants, e.GrantUs)
		}
		slices.Sort(grants)
		for i, span := range spans {
			if span.rate != "" || name == "open" {
				continue
			}
			held, back := spans[i-1].to, spans[min(i+1, len(spans)-1)].from
			for _, g := range grants {
				if g > held && g < back {
					l.Errorf("queue %s has a grant while it was in no file", name)
				}
			}
		}
		if name == "open" {
			continue
		}
		if err := ratelimit.CheckEpochs(l.fastest(name), 0, ratelimit.Grants(grants...)); err != nil {
			l.Errorf("queue %s: grants break the rates of the files: %v", name, err)
		}
		l.Logf("figure: %s: %d grants in %v", name, len(grants), time.Duration(grants[len(grants)-1]-grants[0])*time.Microsecond)
	}
}

// fastest is, for each instant, the fastest rate that may have been in force. A queue
// that is away accrues tokens on.
func (l *reloads) fastest(name string) []ratelimit.Epoch {
	l.Helper()
	rates := make([]ratelimit.Rate, 0, len(l.spans[name]))
	var instants []int64
	for _, span := range l.spans[name] {
		rate := span.rate
		if rate == "" {
			rate = reloadQueues[name][0]
		}
		r, err := ratelimit.Parse(rate)
		l.must(err)
		rates = append(rates, r)
		instants = append(instants, span.from, span.to)
	}
	slices.Sort(instants)
	var epochs []ratelimit.Epoch
	for _, at := range instants[:len(instants)-1] {
		e := ratelimit.Epoch{From: at}
		for i, span := range l.spans[name] {
			if span.from <= at && at < span.to && rates[i].N > e.Rate.N {
				e.Rate = rates[i]
			}
		}
		epochs = append(epochs, e)
	}
	return epochs
}

// descriptors is how many files the workers have open.
func (l *reloads) descriptors() (n int) {
	l.Helper()
	for _, w := range l.workers {
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", w.PID))
		l.must(err)
		n += len(entries)
	}
	return n
}
