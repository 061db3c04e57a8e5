package model

import (
	"fmt"
	"slices"
	"testing"
)

func (s *sim) keyed(name string, own string, keys KeySpec, exceptions map[string]KeySpec, limits ...string) *Queue {
	return s.SetQueue(s.now, name, QueueSpec{Spec: Spec{Rates: rates(own)}, Keys: keys, Exceptions: exceptions, Limits: limits}, 0)
}

// perKey counts the starts of each key from an instant on.
func (s *sim) perKey(from int64) map[string]int {
	n := map[string]int{}
	for _, st := range s.starts {
		if st.At >= from {
			n[st.Key]++
		}
	}
	return n
}

func TestKeyWeights(t *testing.T) {
	for _, tt := range []struct {
		name  string
		costs map[string]int64 // of a task, by its key
		want  map[string]int   // starts of 7,000
	}{
		{"1:2:4", map[string]int64{"a": 1, "b": 1, "c": 1}, map[string]int{"a": 1000, "b": 2000, "c": 4000}},
		{"by cost", map[string]int64{"a": 1, "b": 2, "c": 8}, map[string]int{"a": 2800, "b": 2800, "c": 1400}},
	} {
		s := newSim(t)
		weights := map[string]KeySpec{"b": {Weight: 2}, "c": {Weight: 4}}
		s.keyed("q", "1000/1s", KeySpec{Weight: 1}, weights)
		for key, c := range tt.costs {
			s.backlog(100, "q", Task{Key: key, Cost: map[string]int64{"key": c}})
		}
		s.run(7 * second)
		for key, n := range s.perKey(0) {
			if !within(float64(n), float64(tt.want[key]), 0.05) {
				t.Errorf("%s: key %q had %d starts of %d, want %d", tt.name, key, n, len(s.starts), tt.want[key])
			}
		}
	}
}

// A key with a hundred times the work of the others does not make them wait for it.
func TestKeysDoNotWaitForOne(t *testing.T) {
	p95 := func(heavy int) int64 {
		s := newSim(t)
		s.keyed("q", "1000/1s", KeySpec{}, nil)
		s.submit(heavy, "q", Task{Key: "heavy"})
		for i := range 1000 {
			s.submit(5, "q", Task{Key: fmt.Sprint(i)})
		}
		s.run(6 * second)
		var waits []int64
		for _, st := range s.starts {
			if st.Key != "heavy" {
				waits = append(waits, st.At-epoch0)
			}
		}
		slices.Sort(waits)
		return waits[len(waits)*95/100]
	}
	if without, with := p95(0), p95(500); float64(with) > 1.2*float64(without) {
		t.Errorf("the 95th percentile of the others' waits is %d with it, %d without", with, without)
	}
}

// A key that its own limit blocks takes nothing from anybody.
func TestBlockedKey(t *testing.T) {
	s := newSim(t)
	s.limit("shared", "100/1s:5", 0)
	s.keyed("q", "unlimited", KeySpec{}, map[string]KeySpec{"slow": {Spec: Spec{Rates: rates("1/1s")}}, "few": {Spec: Spec{Cap: 1}}}, "shared")
	s.lasts = func(st Start) int64 { return 500 * ms }
	for _, key := range []string{"slow", "few", "free"} {
		s.backlog(3, "q", Task{Key: key})
	}
	s.run(20 * second)
	s.bounds()
	got := s.perKey(epoch0)
	// What is reserved for free ones keeps those that come back waiting for 50 ms.
	if got["slow"] < 19 || got["few"] < 36 || len(s.starts) < 2000 {
		t.Errorf("starts: %v; want slow one a second, few two, and free the rest of 2,000", got)
	}
}

// A key that comes back, or comes anew, is as far along as the others: it catches up on
// nothing that it left to them.
func TestKeyCatchesUpOnNothing(t *testing.T) {
	s := newSim(t)
	s.keyed("q", "100/1s", KeySpec{}, nil)
	s.submit(2000, "q", Task{Key: "always"})
	s.submit(1, "q", Task{Key: "again"})
	s.run(5 * second)
	s.submit(500, "q", Task{Key: "again"})
	s.submit(500, "q", Task{Key: "new"})
	from := s.now
	s.run(3 * second)
	for key, n := range s.perKey(from) {
		if n < 90 || n > 110 {
			t.Errorf("key %q had %d starts of 300 beside two others", key, n)
		}
	}
}

// A change of what bounds a key gives it no token, whether it was used before or never.
func TestKeyChange(t *testing.T) {
	for _, key := range []string{"used", "never used", "excepted"} {
		s := newSim(t)
		s.ahead = 0
		five, fifty := KeySpec{Spec: Spec{Rates: rates("5/1s:5")}}, KeySpec{Spec: Spec{Rates: rates("10/1s:50")}}
		s.keyed("q", "unlimited", five, nil)
		s.submit(1, "q", Task{Key: "used"})
		s.run(10 * second) // full again, since long
		if key == "excepted" {
			s.keyed("q", "unlimited", five, map[string]KeySpec{key: fifty})
		} else {
			s.keyed("q", "unlimited", fifty, nil)
		}
		from := s.now
		s.submit(100, "q", Task{Key: key})
		s.run(second - 1)
		if n := s.perKey(from)[key]; n != 5+9 {
			t.Errorf("key %q: %d starts in a second after the change, want the 5 it held and 9", key, n)
		}
	}
}

// Keys that wait for their own tokens do not reserve what is full: it would accrue nothing
// for the others until then.
func TestKeyReservesNothingFull(t *testing.T) {
	s := newSim(t)
	s.keyed("q", "1000/1s:10", KeySpec{Spec: Spec{Rates: rates("20/1s")}}, nil)
	s.submit(2, "q", Task{Key: "a"}) // the second one comes within the look-ahead
	s.run(0)
	for i := range 10 {
		s.submit(1, "q", Task{Key: fmt.Sprint(i)})
	}
	from := s.now
	s.run(ms)
	if n := len(s.starts) - 1; n != 10 || s.starts[n].At > from+ms {
		t.Errorf("%d of 10 other keys started within a millisecond", n)
	}
}
