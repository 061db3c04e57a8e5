//go:build linux

package blackbox

import (
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/scheduler"
	"github.com/throttlerd/throttlerd/tests/proc"
)

// lookahead is the default: how far ahead a start may be reserved.
const lookahead = 50 * time.Millisecond

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

// three starts three workers of one file, which accounted looks at.
func (s *site) three(file string, args ...string) []*proc.Process {
	s.Helper()
	var out []*proc.Process
	for range 3 {
		out = append(out, proc.Worker(s, file, args...))
	}
	s.workers = append(s.workers, out...)
	return out
}

func (s *site) rates(text string) ratelimit.Rates {
	s.Helper()
	rs, err := ratelimit.ParseRates(text)
	s.must(err)
	return rs
}

// newLimit makes a named limit that no file declares.
func (s *site) newLimit(name, rates string) {
	s.Helper()
	rs := s.rates(rates)
	_, err := s.client.SetLimit(s.ctx(), name, scheduler.LimitChange{Rates: &rs})
	s.must(err)
}

// newQueue makes a queue under limits that no file declares; it keeps every task.
func (s *site) newQueue(name string, limits ...string) {
	s.Helper()
	spec := scheduler.DefaultQueue("echo")
	spec.Limits, spec.History = limits, 200_000
	_, err := s.client.CreateQueue(s.ctx(), name, spec)
	s.must(err)
}

// submitKeys puts n tasks of one payload for each key into a queue, the keys by turns.
func (s *site) submitKeys(queue string, n int, payload string, keys ...string) []string {
	s.Helper()
	var tasks []scheduler.SubmitRequest
	for range n {
		for _, key := range keys {
			tasks = append(tasks, scheduler.SubmitRequest{Key: key, Payload: []byte(payload)})
		}
	}
	receipts, err := s.client.SubmitMany(s.ctx(), queue, tasks)
	s.must(err)
	var ids []string
	for _, r := range receipts {
		ids = append(ids, r.ID)
	}
	return ids
}

// one is the cost of a start where each costs a token.
func one(proc.Entry) int64 { return 1 }

// share counts starts by queue, and says when the first and the last was granted.
func share(starts []proc.Entry) (n map[string]int, first, last int64) {
	n = make(map[string]int)
	first = starts[0].GrantUs
	for _, e := range starts {
		n[e.Queue]++
		first, last = min(first, e.GrantUs), max(last, e.GrantUs)
	}
	return n, first, last
}

// longest is the longest time from one grant to the next: a limit that is not used up is
// told by it from a machine that stands still.
func longest(starts []proc.Entry) (gap time.Duration) {
	starts = slices.SortedFunc(slices.Values(starts), byGrant)
	for i := 1; i < len(starts); i++ {
		gap = max(gap, time.Duration(starts[i].GrantUs-starts[i-1].GrantUs)*time.Microsecond)
	}
	return gap
}

// used is the part of all that a rate allows over a span, from a full bucket on, that
// was granted.
func (s *site) used(rate string, n int, first, last int64) float64 {
	s.Helper()
	r := s.rates(rate)[0]
	return float64(n) / (float64(r.Burst) + float64(last-first)*float64(r.N)/float64(r.Period.Microseconds()))
}

// lateTask finds what a worker says of a task that it gave back unstarted, since it came to
// it 250 ms late.
var lateTask = regexp.MustCompile(`it would start late: queue=\S+ task=(\S+) late=`)

// accounted demands that what a limit spent is what the starts under it cost, and what it
// counts as wasted. Without a fault nothing is wasted; a machine so busy that a worker
// stood still is one, and wastes what that worker then gave back, no more.
func (s *site) accounted(what string, spent, wasted int64, cost func(task string) int64) {
	s.Helper()
	var started, late int64
	for _, e := range s.journal.Starts() {
		started += cost(e.Task)
	}
	for _, w := range s.workers {
		for _, m := range lateTask.FindAllStringSubmatch(w.Log(), -1) {
			late += cost(m[1])
		}
	}
	if spent-wasted != started || wasted != late {
		s.Errorf("%s: %d tokens spent, %d wasted; the starts cost %d, what came too late %d", what, spent, wasted, started, late)
	}
	if late > 0 {
		s.Logf("figure: %s: a worker stood still: %d tokens wasted", what, late)
	}
}

// ofTasks is the cost of tasks where each costs a token.
func ofTasks(ids ...string) func(task string) int64 {
	costs := make(map[string]int64, len(ids))
	for _, id := range ids {
		costs[id] = 1
	}
	return func(task string) int64 { return costs[task] }
}
