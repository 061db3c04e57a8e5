package model

import (
	"fmt"
	"math"
	"testing"
)

func within(got, want, part float64) bool { return math.Abs(got-want) <= want*part }

// 200 queues under one limit of 100/1s: each gets its share, and nothing is left.
func TestSharedLimit(t *testing.T) {
	s := newSim(t)
	s.limit("shared", "100/1s", 0)
	s.queues(200, "q", Task{}, "shared")
	s.run(40 * second)
	s.bounds()
	for _, q := range s.Queues {
		if n := s.count(q.Name, 0); n < 19 || n > 21 {
			t.Errorf("queue %q: %d starts, its share is 20", q.Name, n)
		}
	}
	if u := s.used("shared", epoch0); u < 0.995 {
		t.Errorf("%.4f of the limit was used", u)
	}
	if s.Moves > 0 {
		t.Errorf("%d moves, with nowhere to go", s.Moves)
	}
}

// A under L, C under M, Q under both.
func TestTwoContendedLimits(t *testing.T) {
	for _, tt := range []struct {
		l, m    string
		a, c, q int
		ahead   int64
		cost    map[string]int64
	}{
		{"100/1s:5", "50/1s:5", 1, 1, 1, 50 * ms, nil},
		{"100/1s:5", "50/1s:5", 1, 1, 1, 0, nil},
		{"100/1s:5", "100/1s:5", 1, 1, 1, 50 * ms, nil},
		{"100/1s:5", "70/1s:5", 1, 1, 1, 0, nil},
		{"100/1s", "70/1s", 1, 1, 1, 0, nil},            // with nothing saved up
		{"100/1s:5", "95/1s:5", 6, 1, 50, 50 * ms, nil}, // both bind Q
		{"100/1s:5", "95/1s:5", 6, 1, 50, 0, nil},
		{"100/1s:5", "50/1s:5", 100, 1, 10, 0, nil}, // L binds Q, though it is the faster one
		{"100/1s:50", "50/1s:5", 1, 1, 5, 0, map[string]int64{"l": 10}},
		{"7/1m:5", "5/1m:5", 1, 1, 1, 50 * ms, nil}, // a token in longer than anybody is patient
		{"7/1m:5", "5/1m:5", 2, 1, 3, 0, nil},
		{"100/1s:5", "50/1s:5", 1, 1, 1000, 50 * ms, nil},
		{"100/1s:5", "50/1s:5", 1, 1, 1000, 0, nil},
	} {
		t.Run(fmt.Sprintf("%s,%s,%d+%d+%d,%d", tt.l, tt.m, tt.a, tt.c, tt.q, tt.ahead/ms), func(t *testing.T) {
			s := newSim(t)
			s.ahead = tt.ahead
			l, m := s.limit("l", tt.l, 0), s.limit("m", tt.m, 0)
			s.queues(tt.a, "a", Task{}, "l")
			s.queues(tt.c, "c", Task{}, "m")
			s.queues(tt.q, "q", Task{Cost: tt.cost}, "l", "m")
			span := max(10*second, 600*m.pace(1))
			s.run(span)
			s.bounds()
			// A round gives each queue one turn. Q's share is that of the limit that has
			// the longer round.
			cost := max(tt.cost["l"], 1)
			round := max(l.pace(int64(tt.a)+cost*int64(tt.q)), m.pace(int64(tt.c+tt.q)))
			share := float64(span) / float64(round) * float64(tt.q)
			if q := float64(s.count("q", 0)); q < 0.9*share {
				t.Errorf("Q had %v starts, its turn at the slower limit is %.0f", q, share)
			}
			if ul, um := s.used("l", epoch0), s.used("m", epoch0); ul < 0.95 || um < 0.95 {
				t.Errorf("L is used %.3f, M %.3f", ul, um)
			}
			if s.Moves >= len(s.starts) {
				t.Errorf("%d moves for %d grants", s.Moves, len(s.starts))
			}
		})
	}
}

// A queue under two limits whose places, or tokens and places, others take up at once, is
// served nevertheless, and little is lost by it.
func TestContendedCaps(t *testing.T) {
	for _, tt := range []struct {
		name       string
		lRate      string
		lCap       int
		mRate      string
		mCap       int
		q          int
		lasts      int64
		span       int64
		share      float64 // of its turn, at least
		lUse, mUse float64 // of the places of L, and of the tokens of M or its places
	}{
		{"many places, a rate", "unlimited", 20, "5/1s", 0, 1, second, 10 * minute, 0.9, 0.95, 0.95},
		{"long tasks", "unlimited", 20, "5/1s", 0, 1, minute, hour, 0.9, 0.95, 0.95},
		{"long tasks, tokens saved", "unlimited", 20, "5/1s:5", 0, 1, minute, hour, 0.9, 0.95, 0.95},
		{"one place, a slow rate, long tasks", "unlimited", 1, "1/1m", 0, 1, 10 * minute, 24 * hour, 0.9, 0.9, 0.95},
		{"one place, a very slow rate", "unlimited", 1, "1/1h", 0, 1, second, 10 * hour, 0.9, 0.95, 0.95},
		{"one place, a very slow rate, longer tasks", "unlimited", 1, "1/1h", 0, 1, 10 * second, 40 * hour, 0.9, 0.95, 0.95},
		{"one place, short tasks", "unlimited", 1, "50/1s:5", 0, 1, 100 * ms, 5 * minute, 0.9, 0.95, 0.95},
		{"two caps", "unlimited", 20, "unlimited", 5, 1, second, 10 * minute, 0.9, 0.95, 0.95},
		{"two caps, long tasks", "unlimited", 2, "unlimited", 2, 1, minute, 4 * hour, 0.7, 0.95, 0.95},
		{"as many places as tokens", "unlimited", 60, "50/1s", 0, 50, second, 2 * minute, 0.9, 0.85, 0.9},
		{"many queues at few places", "unlimited", 5, "50/1s:5", 0, 50, second, 5 * minute, 0.9, 0.95, 0.95},
		{"many queues at few tokens", "unlimited", 20, "5/1s", 0, 50, second, 5 * minute, 0.9, 0.9, 0.95},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSim(t)
			s.slots = 10_000
			n := int64(0)
			s.lasts = func(Start) int64 { // four fifths to six fifths, evenly
				n++
				return tt.lasts * (80 + n*17%41) / 100
			}
			l, m := s.limit("l", tt.lRate, tt.lCap), s.limit("m", tt.mRate, tt.mCap)
			s.queues(1, "a", Task{}, "l")
			s.queues(1, "c", Task{}, "m")
			s.queues(tt.q, "q", Task{}, "l", "m")
			s.run(tt.span)
			s.bounds()
			// grants a second, of each
			perPlace := float64(tt.span) / float64(tt.lasts)
			lGives, mGives := float64(tt.lCap)*perPlace, float64(tt.mCap)*perPlace
			if tt.mCap == 0 {
				mGives = float64(tt.span) / float64(m.pace(1))
			}
			q := float64(tt.q)
			share := q / (q + 1) * min(lGives, mGives)
			a, c, got := float64(s.count("a", 0)), float64(s.count("c", 0)), float64(s.count("q", 0))
			if got < tt.share*share {
				t.Errorf("Q had %v starts, its turn is %.0f", got, share)
			}
			if u := (a + got) / lGives; u < tt.lUse {
				t.Errorf("%.3f of the places of %q were used", u, l.Name)
			}
			if u := (c + got) / mGives; u < tt.mUse {
				t.Errorf("%.3f of %q was used", u, m.Name)
			}
			if s.Moves >= len(s.starts) {
				t.Errorf("%d moves for %d grants", s.Moves, len(s.starts))
			}
		})
	}
}

// Where both caps are full of long tasks that do not end together, it takes patience, and
// as many places are idle meanwhile.
func TestTwoLongCaps(t *testing.T) {
	s := newSim(t)
	lasts := map[byte]int64{'a': 60 * minute, 'c': 47 * minute, 'q': 30 * minute}
	s.lasts = func(st Start) int64 { return lasts[st.Queue[0]] }
	s.limit("l", "unlimited", 1)
	s.limit("m", "unlimited", 1)
	s.queues(1, "a", Task{}, "l")
	s.queues(1, "c", Task{}, "m")
	s.queues(1, "q", Task{}, "l", "m")
	span := 400 * hour
	s.run(span)
	a, c, q := int64(s.count("a", 0)), int64(s.count("c", 0)), int64(s.count("q", 0))
	if q < a/8 {
		t.Errorf("%d starts of Q beside %d and %d", q, a, c)
	}
	if l, m := a*lasts['a']+q*lasts['q'], c*lasts['c']+q*lasts['q']; l < span*9/10 || m < span*9/10 {
		t.Errorf("the places were used %d and %d of %d", l, m, span)
	}
}
