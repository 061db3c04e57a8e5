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
		1600 * time.Millisecond, 3200 * time.Millisecond, 6400 * time.Millisecond, 12800 * time.Millisecond,
		25600 * time.Millisecond, maxBackoff, maxBackoff,
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
