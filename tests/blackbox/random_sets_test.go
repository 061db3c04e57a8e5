//go:build linux

package blackbox

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/scheduler"
	"github.com/throttlerd/throttlerd/tests/proc"
)

// bounded is one limit of a random configuration: what holds for it, and what starts
// under it cost.
type bounded struct {
	what  string
	rates ratelimit.Rates
	cap   int
	costs map[string]int64 // by task; none that costs nothing
}

// draw makes random queues under random limits, and remembers what bounds each task.
type draw struct {
	*site
	r       *rand.Rand
	queues  []scheduler.QueueSpec
	names   []string // of queues
	limits  map[string]*bounded
	ids     map[string][]string // by queue
	refused int
}

// seedOf is THROTTLE_SEED, or one that changes with each run and is told when it fails.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("THROTTLE_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("THROTTLE_SEED: %v", err)
		}
		seed = n
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("to repeat: THROTTLE_SEED=%d", seed)
		}
	})
	return seed
}

// rates are up to n random ones, from 1/1h to 5000/1s.
func (d *draw) rates(n int) ratelimit.Rates {
	var rs ratelimit.Rates
	for range d.r.IntN(n + 1) {
		x := ratelimit.Rate{
			N:      []int64{1, 2, 7, 30, 300, 5000}[d.r.IntN(6)],
			Period: []time.Duration{time.Second, 3 * time.Second, time.Minute, time.Hour}[d.r.IntN(4)],
			Burst:  []int64{1, 1, 3, 20, 100}[d.r.IntN(5)],
		}
		if with := append(slices.Clone(rs), x); with.Validate() == nil {
			rs = with
		}
	}
	return rs
}

func (d *draw) cap() int { return max(0, d.r.IntN(7)-2) }

func (d *draw) bound(what string, rates ratelimit.Rates, cap int) {
	d.limits[what] = &bounded{what: what, rates: rates, cap: cap, costs: make(map[string]int64)}
}

// configure makes one configuration: up to three limits, and up to three queues under
// some of them, some with bounds for keys.
func (d *draw) configure(n int) {
	d.Helper()
	var names []string
	for i := range d.r.IntN(4) {
		name := fmt.Sprintf("l%d-%d", n, i)
		rates, cap := d.rates(2), d.cap()
		_, err := d.client.SetLimit(d.ctx(), name, scheduler.LimitChange{Rates: &rates, Concurrency: &cap})
		d.must(err)
		d.bound("limit "+name, rates, cap)
		names = append(names, name)
	}
	for i := range 1 + d.r.IntN(3) {
		name := fmt.Sprintf("q%d-%d", n, i)
		spec := scheduler.DefaultQueue("echo")
		spec.History = 200_000
		spec.LimitSpec = scheduler.LimitSpec{Rates: d.rates(2), Concurrency: d.cap()}
		for _, l := range names {
			if d.r.IntN(3) > 0 {
				spec.Limits = append(spec.Limits, l)
			}
		}
		if d.r.IntN(3) == 0 {
			spec.Key = &scheduler.KeySpec{Rates: d.rates(1), Concurrency: d.cap(), Weight: 1 + d.r.IntN(3)}
			rates, weight := d.rates(1), 1+d.r.IntN(5)
			spec.Exceptions = map[string]scheduler.KeyRule{"k0": {Rates: &rates, Weight: &weight}}
			for k := range 3 {
				of := spec.Key.Rates
				if k == 0 {
					of = rates
				}
				d.bound(fmt.Sprintf("key k%d of %s", k, name), of, spec.Key.Concurrency)
			}
		}
		_, err := d.client.CreateQueue(d.ctx(), name, spec)
		d.must(err)
		d.bound("queue "+name, spec.Rates, spec.Concurrency)
		d.queues, d.names = append(d.queues, spec), append(d.names, name)
	}
}

// submit puts some random tasks into a random queue. One that costs more than the capacity
// of any of its limits is refused.
func (d *draw) submit() {
	d.Helper()
	i := d.r.IntN(len(d.names))
	name, spec := d.names[i], d.queues[i]
	req := scheduler.SubmitRequest{Queue: name, Payload: fmt.Appendf(nil, `{"sleep":"%dms"}`, d.r.IntN(20))}
	set := map[string]*bounded{"queue": d.limits["queue "+name]}
	for _, l := range spec.Limits {
		set[l] = d.limits["limit "+l]
	}
	if spec.Key != nil {
		req.Key = fmt.Sprint("k", d.r.IntN(3))
		set["key"] = d.limits[fmt.Sprintf("key %s of %s", req.Key, name)]
	}
	costs := make(map[string]int64)
	if d.r.IntN(2) == 0 {
		req.Cost, req.Costs = 1+d.r.Int64N(3), make(map[string]int64)
	}
	fits := true
	for _, l := range slices.Sorted(maps.Keys(set)) {
		costs[l] = max(1, req.Cost)
		if req.Costs != nil && d.r.IntN(2) == 0 {
			costs[l] = d.r.Int64N(4)
			req.Costs[l] = costs[l]
		}
		fits = fits && (len(set[l].rates) == 0 || costs[l] <= set[l].rates.Capacity())
	}
	receipts, err := d.client.SubmitMany(d.ctx(), name, slices.Repeat([]scheduler.SubmitRequest{req}, 1+d.r.IntN(10)))
	if (err == nil) != fits {
		d.Fatalf("submit %+v under %+v: %v", req, spec, err)
	}
	if err != nil {
		d.refused++
	}
	for _, r := range receipts {
		d.ids[name] = append(d.ids[name], r.ID)
		for l, b := range set {
			if costs[l] > 0 {
				b.costs[r.ID] = costs[l]
			}
		}
	}
}

// lift takes all rates away, and leaves the caps.
func (d *draw) lift() {
	d.Helper()
	none := ratelimit.Rates{}
	for _, what := range slices.Sorted(maps.Keys(d.limits)) {
		if name, ok := strings.CutPrefix(what, "limit "); ok {
			_, err := d.client.SetLimit(d.ctx(), name, scheduler.LimitChange{Rates: &none})
			d.must(err)
		}
	}
	for i, name := range d.names {
		change := scheduler.QueueChange{Rates: &none}
		if k := d.queues[i].Key; k != nil {
			free := &scheduler.KeySpec{Concurrency: k.Concurrency, Weight: k.Weight}
			change.Key, change.Exceptions = &free, map[string]*scheduler.KeyRule{"k0": nil}
		}
		d.must(d.client.UpdateQueue(d.ctx(), name, change))
	}
}

// judge holds what was started against each limit: its rates in every window up to the
// instant at which they were lifted, its cap at every instant, and what it says was spent.
func (d *draw) judge(lifted int64) (before int) {
	d.Helper()
	var bounded []proc.Entry
	for _, e := range d.journal.Starts() {
		if e.GrantUs < lifted {
			bounded = append(bounded, e)
		}
	}
	for what, b := range d.limits {
		d.holds(what, b.rates.String(), bounded, func(e proc.Entry) int64 { return b.costs[e.Task] })
		runs := d.runs(func(e proc.Entry) bool { return b.costs[e.Task] > 0 }, nil)
		if top := most(runs); b.cap > 0 && top > b.cap {
			d.Errorf("%s: %d ran at once of %d", what, top, b.cap)
		}
		running, cost := int64(0), func(task string) int64 { return b.costs[task] }
		kind, name, _ := strings.Cut(what, " ")
		switch kind {
		case "queue":
			q := d.show(name)
			d.accounted(what, q.TokensSpent, q.TokensWasted, cost)
			running = q.Running
		case "limit":
			l := d.limit(name)
			d.accounted(what, l.Spent, l.Wasted, cost)
			running = l.Running
		}
		if running != 0 {
			d.Errorf("%s: %d places are held, though nothing runs", what, running)
		}
	}
	return len(bounded)
}

// Dozens of random configurations side by side, under three workers: all limits of a set
// hold in every window and at every instant, each has spent what the starts under it cost,
// and once the rates are lifted every task runs.
func TestRandomSetsUnderThreeWorkers(t *testing.T) {
	seed := seedOf(t)
	d := &draw{site: newSite(t), r: rand.New(rand.NewPCG(seed, 4)), limits: make(map[string]*bounded), ids: make(map[string][]string)}
	configurations, span := 48, 12*time.Second
	if long() {
		configurations, span = 200, 60*time.Second
	}
	for n := range configurations {
		d.configure(n)
	}
	d.three(d.file(d.echo()))
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for until := time.Now().Add(span); time.Now().Before(until); <-tick.C {
		d.submit()
	}
	lifted, err := d.client.Now(d.ctx())
	d.must(err)
	d.lift()
	var ids []string
	for _, name := range d.names {
		d.waitDone(name, len(d.ids[name]), 60*time.Second)
		d.audit(name, d.ids[name])
		ids = append(ids, d.ids[name]...)
	}
	d.once(ids)
	before := d.judge(lifted.UnixMicro())
	t.Logf("figure: %d configurations, %d queues, %d limits of all kinds: %d tasks, %d of them under their rates, %d submits refused",
		configurations, len(d.names), len(d.limits), len(ids), before, d.refused)
}
