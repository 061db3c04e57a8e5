package model

import (
	"math"
	"slices"
	"testing"
)

// names returns the queues of starts, in order.
func names(starts []Start) (ns []string) {
	for _, st := range starts {
		ns = append(ns, st.Queue)
	}
	return ns
}

// Whoever can start now goes round by turns, where slots are short too: a queue without a
// limit, one with its own, and those at a limit that has tokens for all.
func TestTurns(t *testing.T) {
	for _, slots := range []int{1, 2, 3, 7, 40} {
		s := newSim(t)
		s.ahead, s.slots = 0, slots
		s.lasts = func(Start) int64 { return 100 * ms }
		s.limit("l", "1000/1s:1000", 0)
		s.limit("m", "1000/1s:1000", 0)
		s.queues(1, "free", Task{})
		s.queues(3, "at l", Task{}, "l")
		s.queues(3, "at both", Task{}, "l", "m")
		s.run(20 * second)
		for _, q := range s.Queues {
			if n, share := float64(s.count(q.Name, 0)), float64(len(s.starts))/7; math.Abs(n-share) > max(1, 0.02*share) {
				t.Errorf("%d slots: queue %q had %v of %d starts among 7 queues", slots, q.Name, n, len(s.starts))
			}
		}
	}
}

// What can start now goes first; reservations take half of the slots that are left.
func TestReserve(t *testing.T) {
	s := newSim(t)
	s.limit("l", "100/1s", 0)
	s.queue("paced", "l")
	s.queue("free")
	s.submit(10, "paced", Task{})
	s.submit(3, "free", Task{})
	for _, tt := range []struct {
		slots, now, ahead int
	}{{10, 4, 3}, {9, 0, 3}, {1, 0, 0}} { // 60 ms of tokens at most: 5 within the look-ahead
		var now, ahead int
		for _, st := range s.Claim(s.now, s.ahead, tt.slots) {
			if st.At > s.now {
				ahead++
			} else {
				now++
			}
		}
		if now != tt.now || ahead > 0 && ahead != tt.ahead && tt.slots == 10 {
			t.Errorf("%d slots: %d start now and %d ahead, want %d and %d", tt.slots, now, ahead, tt.now, tt.ahead)
		}
	}
	for _, tt := range []struct {
		name string
		make func()
		want int
	}{
		{"under a cap", func() { s.limit("l", "100/1s", 9) }, 0},
		{"beyond the end of an override", func() { s.SetLimit(s.now, "l", Spec{Rates: rates("100/1s")}, s.now+25*ms) }, 2},
		{"where another limit would be full until then", func() {
			s.limit("l", "100/1s", 0)
			s.limit("full", "1000/1s:5", 0)
			s.queue("paced", "full", "l")
		}, 0},
	} {
		s = newSim(t)
		s.limit("l", "100/1s", 0)
		s.queue("paced", "l")
		s.submit(10, "paced", Task{})
		s.Claim(s.now, 0, 1)
		tt.make()
		if n := len(s.Claim(s.now, s.ahead, 20)); n != tt.want {
			t.Errorf("%s: %d reserved, want %d", tt.name, n, tt.want)
		}
	}
}

// A limit does not pass over the first that waits for want of its own tokens; one whose
// own limits hold it back is not waiting there.
func TestFirstAtALimit(t *testing.T) {
	s := newSim(t)
	s.ahead = 0
	s.limit("l", "10/1s:5", 0)
	s.SetQueue(s.now, "a", QueueSpec{Spec: Spec{Rates: rates("1/1s")}, Limits: []string{"l"}}, 0)
	s.queue("b", "l")
	s.queue("c", "l")
	s.submit(2, "a", Task{})
	s.submit(1, "b", Task{Cost: map[string]int64{"l": 5}})
	s.submit(9, "c", Task{})
	s.run(2 * second)
	got := names(s.starts)
	// a takes one of 5; b waits 100 ms for its 5, and nobody passes it; then c, and a
	// in its turn, a second after its first.
	want := []string{"a", "b", "c", "c", "c", "c", "c"}
	if !slices.Equal(got[:7], want) || s.starts[1].At != epoch0+100*ms {
		t.Errorf("started: %v, b at %d", got, s.starts[1].At-epoch0)
	}
	if i := slices.Index(got[1:], "a"); s.starts[i+1].At != epoch0+second {
		t.Errorf("the second of a starts at %d", s.starts[i+1].At-epoch0)
	}
}

// Tasks that are given back start in their first order, before those behind them.
func TestGivenBack(t *testing.T) {
	s := newSim(t)
	s.ahead = 0
	s.queue("q")
	s.submit(5, "q", Task{})
	first := s.Claim(s.now, 0, 3)
	for _, i := range []int{2, 0, 1} {
		s.Settle(s.now, first[i].Task, Outcome{Back: true})
	}
	var got []int
	for _, st := range s.Claim(s.now, 0, 9) {
		got = append(got, st.Task)
	}
	if !slices.Equal(got, []int{1, 2, 3, 4, 5}) {
		t.Errorf("started in the order %v", got)
	}
}

// An upstream's slow-down stops all that is under that limit, and nothing else.
func TestThrottled(t *testing.T) {
	for _, tt := range []struct {
		limit string
		stops []string // queues, or keys of a
	}{
		{"l", []string{"a k1", "a k2", "b "}},
		{"queue", []string{"a k1", "a k2"}},
		{"key", []string{"a k1"}},
	} {
		s := newSim(t)
		s.limit("l", "1000/1s:10", 0)
		s.keyed("a", "unlimited", KeySpec{}, nil, "l")
		s.queue("b", "l")
		s.queue("c")
		s.backlog(3, "a", Task{Key: "k1"})
		s.backlog(3, "a", Task{Key: "k2"})
		s.backlog(3, "b", Task{})
		s.backlog(3, "c", Task{})
		s.lasts = func(Start) int64 { return 10 * ms }
		s.run(100 * ms)
		from := s.now
		throttled := false
		s.outcome = func(st Start) Outcome {
			if st.Key == "k1" && !throttled {
				throttled = true
				return Outcome{Throttle: &Throttle{tt.limit, from + 3*second}}
			}
			return Outcome{}
		}
		s.run(2900 * ms)
		seen := map[string]bool{}
		for _, st := range s.starts {
			if st.At > from+20*ms+s.ahead {
				seen[st.Queue+" "+st.Key] = true
			}
		}
		for _, who := range []string{"a k1", "a k2", "b ", "c "} {
			if seen[who] == slices.Contains(tt.stops, who) {
				t.Errorf("%q frozen: %q started: %v", tt.limit, who, seen[who])
			}
		}
		n := len(s.starts)
		s.run(200 * ms)
		if starts := s.starts[n:]; !slices.ContainsFunc(starts, func(st Start) bool { return st.Key == "k1" }) {
			t.Errorf("%q frozen: nothing starts when it is over", tt.limit)
		}
	}
}
