package model

import "testing"

// Calls from outside of the queues take one turn like a queue, and are not starved by
// those that take every token as it comes.
func TestTakeTurns(t *testing.T) {
	for _, tt := range []struct {
		queues int
		n      int64
	}{{0, 1}, {1, 1}, {4, 1}, {4, 5}} {
		s := newSim(t)
		s.ahead = 0 // what is reserved ahead is gone for those who come later
		s.limit("l", "100/1s:5", 0)
		s.queues(tt.queues, "q", Task{}, "l")
		took := 0
		var ask func()
		ask = func() {
			granted, at := s.Take(s.now, "l", tt.n)
			if granted {
				took++
				s.due = s.now
			}
			s.at(max(at, s.now+1), ask)
		}
		s.at(s.now, ask)
		s.run(30 * second)
		// a round: one task of each queue, and n tokens
		want := 30 * 100 / float64(int64(tt.queues)+tt.n)
		if !within(float64(took), want, 0.1) {
			t.Errorf("%d queues: %d takes of %d, want about %.0f", tt.queues, took, tt.n, want)
		}
		if q := s.count("q", 0); !within(float64(q), want*float64(tt.queues), 0.1) {
			t.Errorf("%d queues beside takes of %d: %d starts, want about %.0f", tt.queues, tt.n, q, want*float64(tt.queues))
		}
	}
}

// A Take is refused for good only above the capacity; nobody comes back for what was
// left to it: the queues go on.
func TestTakeLapses(t *testing.T) {
	s := newSim(t)
	s.limit("l", "10/1s:5", 0)
	if granted, at := s.Take(s.now, "l", 6); granted || at < 1<<62 {
		t.Errorf("6 of a capacity of 5: %v, %d", granted, at)
	}
	s.queues(1, "q", Task{}, "l")
	s.run(second)
	if granted, at := s.Take(s.now, "l", 5); granted || at <= s.now {
		t.Errorf("5 of a limit that is used up: %v at %d", granted, at)
	}
	from := s.now
	s.run(10 * second)
	if n := s.count("q", from); n < 70 {
		t.Errorf("%d starts in 10 s beside a take that nobody came back for", n)
	}
	if granted, _ := s.Take(s.now, "l", 1); granted {
		t.Error("a take went before a queue whose turn was older")
	}
}
