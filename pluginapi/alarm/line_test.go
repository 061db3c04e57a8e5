package alarm

import (
	"testing"
	"time"
)

func TestLineIsNeverEarlyAndKeepsOrder(t *testing.T) {
	type thing struct {
		at time.Time
		n  int
	}
	got := make(chan thing, 200)
	l := NewLine(func(list []thing) {
		now := time.Now()
		for _, x := range list {
			if now.Before(x.at) {
				t.Errorf("%s early", x.at.Sub(now))
			}
			got <- x
		}
	})
	now := time.Now()
	for i := range 200 { // two of each instant, each earlier than those before
		at := now.Add(time.Duration(600-i/4) * time.Millisecond)
		l.Add(at, 0, thing{at, i})
	}
	last := <-got
	for range 199 {
		x := <-got
		if x.at.Before(last.at) || x.at.Equal(last.at) && x.n < last.n {
			t.Errorf("number %d comes after %d", x.n, last.n)
		}
		last = x
	}
	l.Close()
}

// What may go a little earlier goes with what is released, and never without.
func TestLineGathers(t *testing.T) {
	got := make(chan []int, 10)
	l := NewLine(func(list []int) { got <- list })
	defer l.Close()
	now := time.Now()
	l.Add(now.Add(100*time.Millisecond), time.Hour, 1)
	l.Add(now.Add(200*time.Millisecond), time.Hour, 2)
	l.Add(now.Add(2000*time.Millisecond), 0, 3)
	l.Add(now.Add(2100*time.Millisecond), time.Hour, 4)
	if list := <-got; len(list) != 2 || time.Since(now) < 100*time.Millisecond {
		t.Errorf("%v after %s", list, time.Since(now))
	}
	if list := <-got; len(list) != 2 || time.Since(now) < 2*time.Second {
		t.Errorf("%v after %s", list, time.Since(now))
	}
}
