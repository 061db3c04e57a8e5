package model

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
	"pgregory.net/rapid"
)

// random is a random configuration and what is submitted to it. All its rates lie within
// a decade, from 1/1h to 5000/1s, so that a run sees hundreds of tokens of each.
type random struct {
	*sim
	rapid   *rapid.T
	rng     *rand.Rand
	pace    int64            // about what a token takes
	scarce  bool             // of slots
	seqs    map[*lane]int64  // of the task that each started last
	last    map[*lane]int64  // and its start
	back    map[int]bool     // tasks that were given back
	waiting map[*Queue]int64 // queues, since when
	longest int64            // the task that lasts longest
	latest  int64            // and the claim that comes latest
}

func drawRandom(t *rapid.T, feedback bool) *random {
	r := &random{
		sim: newSim(t), rapid: t,
		rng:    rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)),
		pace:   rapid.SampledFrom([]int64{hour, minute, second, 10 * ms, 200}).Draw(t, "pace"),
		scarce: rapid.IntRange(0, 3).Draw(t, "scarce") == 0,
		seqs:   map[*lane]int64{}, last: map[*lane]int64{}, back: map[int]bool{}, waiting: map[*Queue]int64{},
	}
	r.ahead = rapid.SampledFrom([]int64{0, 50 * ms, 50 * ms, second}).Draw(t, "ahead")
	r.slots = 1000
	if r.scarce {
		r.slots = rapid.IntRange(1, 5).Draw(t, "slots")
	}
	for i := range rapid.IntRange(1, 4).Draw(t, "limits") {
		r.SetLimit(r.now, fmt.Sprintf("l%d", i), r.spec("limit"), 0)
	}
	for i := range rapid.IntRange(1, 6).Draw(t, "queues") {
		r.drawQueue(fmt.Sprintf("q%d", i))
	}
	r.longest = rapid.SampledFrom([]int64{0, 1, 3, 10}).Draw(t, "lasts")*r.pace + 2
	r.lasts = func(Start) int64 { return 1 + r.rng.Int64N(r.longest) }
	r.latest = rapid.SampledFrom([]int64{0, 0, ms, r.pace}).Draw(t, "late") + 1
	r.late = func() int64 { return r.rng.Int64N(r.latest) }
	r.started = r.order
	if feedback {
		r.outcome = r.anyOutcome
	}
	return r
}

// rate draws a rate of about the run's pace.
func (r *random) rate() ratelimit.Rate {
	n := rapid.Int64Range(1, 9).Draw(r.rapid, "n")
	period := time.Duration(n*r.pace*rapid.Int64Range(3, 30).Draw(r.rapid, "tenths")/10) * time.Microsecond
	if period < time.Millisecond {
		n, period = n*int64(time.Second/period), time.Second
	}
	return ratelimit.Rate{N: n, Period: period.Round(time.Millisecond), Burst: rapid.Int64Range(1, 8).Draw(r.rapid, "burst")}
}

func (r *random) spec(what string) (s Spec) {
	for range rapid.SampledFrom([]int{0, 1, 1, 1, 2, 3}).Draw(r.rapid, what+" rates") {
		if rate := r.rate(); !slices.Contains(s.Rates, rate) {
			s.Rates = append(s.Rates, rate)
		}
	}
	s.Cap = rapid.SampledFrom([]int{0, 0, 1, 2, 5}).Draw(r.rapid, what+" cap")
	return s
}

// drawQueue makes a queue, and submits to it again and again.
func (r *random) drawQueue(name string) {
	s := QueueSpec{Exceptions: map[string]KeySpec{}}
	if rapid.Bool().Draw(r.rapid, "own") {
		s.Spec = r.spec("own")
	}
	for _, l := range r.Limits {
		if rapid.Bool().Draw(r.rapid, "under "+l.Name) {
			s.Limits = append(s.Limits, l.Name)
		}
	}
	keys := []string{""}
	if rapid.Bool().Draw(r.rapid, "keyed") {
		keys = []string{"a", "b", "c", "d"}[:rapid.IntRange(1, 4).Draw(r.rapid, "keys")]
		s.Keys = KeySpec{Spec: r.spec("key"), Weight: rapid.Int64Range(1, 4).Draw(r.rapid, "weight")}
		if rapid.Bool().Draw(r.rapid, "exception") {
			s.Exceptions["a"] = KeySpec{Spec: r.spec("exception"), Weight: 2}
		}
	}
	q := r.SetQueue(r.now, name, s, 0)
	dear := rapid.Bool().Draw(r.rapid, "dear")
	bulk := rapid.IntRange(1, 60).Draw(r.rapid, "bulk")
	pause := r.pace * rapid.Int64Range(1, 60).Draw(r.rapid, "pause")
	var more func()
	more = func() {
		for range 1 + r.rng.IntN(bulk) {
			t := Task{Key: keys[r.rng.IntN(len(keys))]}
			if dear {
				t.Cost = r.costs(q, t.Key)
			}
			if r.rng.IntN(10) == 0 {
				t.At = r.now + r.rng.Int64N(pause)
			}
			r.submit(1, name, t)
		}
		r.at(r.now+1+r.rng.Int64N(2*pause), more)
	}
	r.at(r.now+r.rng.Int64N(pause), more)
}

// costs draws what a task costs its limits: nothing at all, up to their capacity.
func (r *random) costs(q *Queue, key string) map[string]int64 {
	costs := map[string]int64{}
	for _, l := range append([]*Limit{q.Own, q.laneOf(key).limit}, q.limits...) {
		most := max(l.Rates.Capacity(), 1)
		costs[l.Name] = min(r.rng.Int64N(most+1), r.rng.Int64N(most+1)+1)
	}
	return costs
}

func (r *random) anyOutcome(st Start) (o Outcome) {
	limits := r.running[st.Task].limits()
	name := limits[r.rng.IntN(len(limits))].Name
	switch r.rng.IntN(12) {
	case 0:
		o.Back = true
	case 1:
		o.Again = r.now + r.rng.Int64N(5*r.pace)
	case 2:
		o.Throttle = &Throttle{name, r.now + r.rng.Int64N(3*r.pace)}
	case 3:
		o.Report = &Report{name, r.rng.Int64N(5), r.now + r.rng.Int64N(3*r.pace)}
	}
	r.back[st.Task] = o.Back || o.Throttle != nil
	return o
}

// order checks that the tasks of a queue, or of a key, start in the order in which they
// began to wait. Only one that was given back starts after what stood behind it.
func (r *random) order(st Start) {
	t := r.running[st.Task]
	if r.back[st.Task] {
		return
	}
	if t.seq < r.seqs[t.lane] {
		r.rapid.Fatalf("task %d of queue %q, key %q started after one behind it", st.Task, st.Queue, st.Key)
	}
	r.seqs[t.lane] = t.seq
	if st.At < r.last[t.lane] {
		r.rapid.Fatalf("task %d of queue %q, key %q starts at %d, one before it at %d", st.Task, st.Queue, st.Key, st.At, r.last[t.lane])
	}
	r.last[t.lane] = st.At
}

// nobodyStarves fails if a queue waits for longer than it takes everybody who shares a
// limit with it to be served a few times.
func (r *random) nobodyStarves() {
	for _, q := range r.Queues {
		if !q.waits(r.now) {
			delete(r.waiting, q)
			continue
		}
		since := max(r.waiting[q], q.turn)
		if _, ok := r.waiting[q]; !ok {
			r.waiting[q] = r.now
			continue
		}
		bound, caps := r.ahead+r.latest+20*ms, 0
		for _, l := range r.Limits {
			if q.needs(l) == 0 {
				continue
			}
			if l.Cap > 0 {
				caps++
			}
			for _, o := range r.Queues {
				if slices.Contains(o.limits, l) {
					bound += l.pace(max(l.Rates.Capacity(), 1)) + r.latest
					if l.Cap > 0 {
						bound += r.longest
					}
				}
			}
		}
		bound *= 4
		if caps > 0 {
			bound += 32 * patience
		}
		if r.now-since > bound {
			r.rapid.Fatalf("queue %q waits since %d, now %d, at most %d", q.Name, since-epoch0, r.now-epoch0, bound)
		}
	}
}

// Every limit of every set holds in every window, every cap at every instant, tokens are
// spent for starts alone, order is kept, and all are served: over 200 configurations, half
// of them with tasks that fail, are throttled and report what is left.
func TestRandomSets(t *testing.T) {
	for _, feedback := range []bool{false, true} {
		starts, moves := 0, 0
		rapid.Check(t, func(t *rapid.T) {
			r := drawRandom(t, feedback)
			for range 100 {
				r.run(3 * r.pace)
				if !feedback && !r.scarce {
					r.nobodyStarves()
				}
			}
			r.bounds()
			most := 2*len(r.starts) + 10
			if feedback {
				most *= 2 // a freeze makes queues move too, without a start
			}
			if r.Moves > most {
				t.Fatalf("%d moves for %d grants", r.Moves, len(r.starts))
			}
			starts += len(r.starts)
			moves += r.Moves
		})
		t.Logf("feedback %v: %d starts, %d moves", feedback, starts, moves)
	}
}
