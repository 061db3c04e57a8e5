package model

import (
	"testing"

	"github.com/throttlerd/throttlerd/ratelimit"
	"pgregory.net/rapid"
)

// Rates that hold for a while end at their instant, by themselves, while a queue waits
// there and while nobody looks.
func TestOverrideEnds(t *testing.T) {
	for _, look := range []bool{true, false} {
		s := newSim(t)
		s.ahead = 0
		s.limit("l", "1/1s", 0)
		s.queue("q", "l")
		s.submit(1000, "q", Task{})
		s.run(second / 2)
		s.SetLimit(s.now, "l", Spec{Rates: rates("10/1s:3")}, s.now+10*second)
		if look {
			s.due = s.now
		} else {
			s.due = ratelimit.Never
			s.slots = 0
			s.at(s.now+12*second, func() { s.slots = 64 })
		}
		from := s.now
		s.run(20 * second)
		// Watched: 99 before the end, one at it, and one a second from then on. Else what
		// the capacity keeps, and one a second.
		want := 99 + 1 + 10
		if !look {
			want = 1 + 8
		}
		if n := s.count("q", from); n != want {
			t.Errorf("watched %v: %d starts, want %d", look, n, want)
		}
	}
}

// Whatever is changed, and when: no window holds more than the capacity at its beginning
// and what accrued at the rates that were in force in it.
func TestChangesKeepTheBound(t *testing.T) {
	any := []string{"100/1s", "10/1s:5", "500/1s:20", "1/10s:3", "30/1s"}
	rapid.Check(t, func(t *rapid.T) {
		s := newSim(t)
		s.ahead = 0 // what was reserved before a change still starts
		draw := func() ratelimit.Rates { return rates(rapid.SampledFrom(any).Draw(t, "rate")) }
		base, ends := draw(), int64(0)
		l := s.SetLimit(s.now, "l", Spec{Rates: base}, 0)
		epochs := []ratelimit.Epoch{{From: s.now, Rate: base[0]}}
		s.queues(3, "q", Task{}, "l")
		s.queues(1, "dear", Task{Cost: map[string]int64{"l": 2}}, "l")
		for range 20 {
			s.run(rapid.Int64Range(0, 3*second).Draw(t, "for"))
			if ends > 0 && rapid.Bool().Draw(t, "to the end") {
				s.run(max(ends-s.now, 0))
			}
			if ends > 0 && ends <= s.now {
				epochs = append(epochs, ratelimit.Epoch{From: ends, Rate: base[0]})
				ends = 0
			}
			next := draw()
			if rapid.Bool().Draw(t, "override") {
				ends = s.now + rapid.Int64Range(1, 3*second).Draw(t, "until")
			} else {
				base, ends = next, 0
			}
			s.SetLimit(s.now, "l", Spec{Rates: next}, ends)
			epochs = append(epochs, ratelimit.Epoch{From: s.now, Rate: next[0]})
		}
		if err := ratelimit.CheckEpochs(epochs, 0, s.grants[l]); err != nil {
			t.Fatalf("%v: %v", epochs, err)
		}
	})
}
