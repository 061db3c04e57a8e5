package model

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A cost of 0 is not under that limit: it waits for nothing there.
func TestCostOfNothing(t *testing.T) {
	s := newSim(t)
	s.limit("day", "1/24h", 1)
	s.limit("sec", "10/1s", 0)
	s.lasts = func(Start) int64 { return hour }
	s.queue("first", "day")
	s.submit(2, "first", Task{}) // one holds the place and the token, one waits
	s.queue("q", "day", "sec")
	s.submit(3, "q", Task{Cost: map[string]int64{"day": 0}})
	s.queue("none", "day")
	s.submit(3, "none", Task{Cost: map[string]int64{"day": 0, "queue": 0}})
	s.run(second)
	if q, none := s.count("q", 0), s.count("none", 0); q != 3 || none != 3 {
		t.Errorf("%d and %d of 3 tasks started, which are not under the full limit", q, none)
	}
	if l := s.Limit("day"); l.Running != 1 || l.Spent != 1 {
		t.Errorf("they took %d tokens and %d places of it", l.Spent-1, l.Running-1)
	}
}

// A dear task is not starved by cheap ones: not by those that wait where it does, nor by
// those that wait at slower limits and take its limit's tokens as they come.
func TestDearTask(t *testing.T) {
	s := newSim(t)
	s.limit("l", "100/1s:50", 0)
	s.queues(1, "dear", Task{Cost: map[string]int64{"l": 20}}, "l")
	for _, m := range []string{"m0", "m1", "m2", "m3"} {
		s.limit(m, "30/1s:5", 0)
		s.queues(1, "under "+m, Task{}, "l", m)
	}
	s.run(minute)
	s.bounds()
	// 24 tokens a round: 250 rounds
	if n := s.count("dear", 0); n < 240 {
		t.Errorf("the dear queue had %d turns of 250", n)
	}
	if u := s.used("l", epoch0); u < 0.99 {
		t.Errorf("%.3f of the limit was used", u)
	}
}

// What costs more than a capacity, since that was lowered, waits until it is undone, and
// holds nobody up.
func TestCostAboveCapacity(t *testing.T) {
	for _, until := range []int64{0, epoch0 + hour} {
		s := newSim(t)
		s.limit("l", "10/1s:5", 0)
		s.queue("dear", "l")
		s.queue("q", "l")
		s.SetLimit(s.now, "l", Spec{Rates: rates("10/1s:2")}, until)
		s.submit(1, "dear", Task{Cost: map[string]int64{"l": 5}})
		s.submit(1000, "q", Task{})
		s.run(10 * second)
		if n := s.count("q", 0); n != 102 {
			t.Errorf("%d of 102 starts behind a task that cannot start", n)
		}
		if until == 0 {
			s.limit("l", "10/1s:5", 0)
		}
		s.run(hour)
		if s.count("dear", 0) != 1 {
			t.Error("it did not start when it could")
		}
	}
}

// A credit that finds no room in the bucket is lost, also when a start lies ahead, which
// the bucket has paid for already and so looks less full than it is. After the first
// credit nothing is reserved, so that no other one is lost for that.
func TestCreditBesideReserved(t *testing.T) {
	s := newSim(t)
	s.ahead = second
	l := s.limit("l", "10/1s:10", 0)
	s.queue("q", "l")
	s.lasts = func(Start) int64 { return 100 * ms }
	for _, credited := range []int64{0, 6} {
		first := len(s.starts)
		s.outcome = func(st Start) Outcome {
			if st == s.starts[first] {
				return Outcome{Actual: map[string]int64{"l": 0}}
			}
			return Outcome{}
		}
		six := Task{Cost: map[string]int64{"l": 6}}
		s.submit(2, "q", six) // one starts, and one in 200 ms
		s.run(150 * ms)
		s.submit(1, "q", six)
		s.run(5 * second)
		// The other two cost 12, and no more than 10 can be saved up.
		if gap := s.starts[first+2].At - s.starts[first+1].At; gap < 200*ms {
			t.Errorf("two tasks of cost 6 started within %d µs", gap)
		}
		if l.Credited != credited {
			t.Errorf("%d credited, want %d", l.Credited, credited)
		}
	}
}

// paid is a start and what it came to cost.
type paid struct {
	at, settled       int64
	cost, actual, cut int64
}

// The bound that holds where tasks report what they really cost.
func TestActualCosts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSim(t)
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		rs := rapid.SampledFrom([]string{"100/1s:20", "100/1s:20, 300/5s:50", "7/1s:9", "10/1m:30"}).Draw(t, "rates")
		debt := rapid.Int64Range(0, 9).Draw(t, "debt")
		l := s.SetLimit(s.now, "l", Spec{Rates: rates(rs), DebtMax: debt}, 0)
		pace := l.pace(1)
		s.ahead = rapid.SampledFrom([]int64{0, 50 * ms}).Draw(t, "ahead")
		s.lasts = func(Start) int64 { return 1 + rng.Int64N(10*pace) }
		var all []*paid
		byTask := map[int]*paid{}
		s.started = func(st Start) {
			c := s.running[st.Task].charges[len(s.running[st.Task].charges)-1].cost
			p := &paid{at: st.At, settled: 1 << 62, cost: c, actual: c + rng.Int64N(2*c+1) - c}
			all, byTask[st.Task] = append(all, p), p
		}
		s.outcome = func(st Start) Outcome {
			p, cut := byTask[st.Task], l.Cut
			p.settled = s.now
			s.at(s.now, func() { p.cut = l.Cut - cut }) // when it is settled
			return Outcome{Actual: map[string]int64{"l": p.actual}}
		}
		for _, q := range []string{"a", "b"} {
			s.queue(q, "l")
			for range 100 {
				s.submit(1, q, Task{Cost: map[string]int64{"l": 1 + rng.Int64N(6)}})
			}
		}
		s.run(400 * pace)
		s.run(rng.Int64N(100 * pace))
		slices.SortFunc(all, func(a, b *paid) int { return cmp.Compare(a.at, b.at) })
		for _, r := range l.Rates {
			for i, first := range all {
				over := int64(0) // over-estimates running at the beginning
				for _, p := range all {
					if p.at < first.at && p.settled >= first.at {
						over += max(p.cost-p.actual, 0)
					}
				}
				actual, cut := int64(0), int64(0)
				for j, p := range all[i:] {
					actual += p.actual
					cut += p.cut
					under := int64(0) // under-estimates running at the end
					for _, o := range all[:i+j+1] {
						if o.settled > p.at {
							under += max(o.actual-o.cost, 0)
						}
					}
					most := r.Burst + r.N*(p.at-first.at)/r.Period.Microseconds() + over + under + debt + cut
					if actual > most {
						t.Fatalf("%v: starts in [%d, %d] cost %d, at most %d", r, first.at-epoch0, p.at-epoch0, actual, most)
					}
				}
			}
		}
		if u := l.Credited - (l.Owed - l.Cut); l.Spent-u < 0 {
			t.Fatalf("%d spent, %d given back", l.Spent, u)
		}
	})
}
