package pluginhost

import (
	"testing"
	"time"
)

func TestBackoffGrowsUntilHealthy(t *testing.T) {
	var b backoff
	now := time.Unix(0, 0)
	for i, want := range []time.Duration{
		100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond,
		maxBackoff, maxBackoff, // the fifth end within five minutes breaks it off
	} {
		b.started(now)
		b.ended(now.Add(time.Second))
		if d := b.delay(); d < want/2 || d > want {
			t.Errorf("end %d: %s, want %s to %s", i+1, d, want/2, want)
		}
		if phase := b.phase(); (phase == Failing) != (i+1 >= crashLimit) {
			t.Errorf("end %d: %s", i+1, phase)
		}
		now = now.Add(time.Second)
	}
	b.started(now)
	b.ended(now.Add(10 * time.Minute))
	if d := b.delay(); d > minBackoff || b.phase() != Starting {
		t.Errorf("after a healthy life: %s, %s", d, b.phase())
	}
}

// Starts that fail far apart are no crash loop, and wait longer each time.
func TestBackoffGrowsBetweenRareFailures(t *testing.T) {
	var b backoff
	now := time.Unix(0, 0)
	for i := range 12 {
		b.failed(now)
		want := maxBackoff
		if i < 9 {
			want = min(minBackoff<<i, maxBackoff)
		}
		if d := b.delay(); d < want/2 || d > want {
			t.Errorf("failure %d: %s, want %s to %s", i+1, d, want/2, want)
		}
		now = now.Add(2 * time.Minute)
	}
}

// A plugin that lives for a while and then crashes, over and over, is broken off too.
func TestBreakerCountsHealthyLives(t *testing.T) {
	var b backoff
	now := time.Unix(0, 0)
	for i := range crashLimit {
		b.started(now)
		now = now.Add(40 * time.Second)
		b.ended(now)
		if d, broken := b.delay(), i+1 == crashLimit; (d >= maxBackoff/2) != broken || (b.phase() == Failing) != broken {
			t.Errorf("end %d: %s, %s", i+1, d, b.phase())
		}
	}
}
