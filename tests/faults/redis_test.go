//go:build linux

package faults

import (
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/tests/proc"
	"github.com/throttlerd/throttlerd/tests/redistest"
)

// Row 18: Redis dies under load and comes back with its append-only file, synced each
// second: no acknowledged task is lost, and starts go on within 2 s.
func TestRedisKilled(t *testing.T) {
	t.Parallel()
	rnd := seeded(t)
	r := newRig(t, redistest.WithAOF())
	r.standard("")
	r.start(3)
	r.produce(12 * time.Millisecond)
	kills := 3
	if long() {
		kills = 50
	}
	resumed := time.Duration(0)
	for range kills {
		r.more(150 + rnd.IntN(300))
		r.killRedis()
		back := proc.Mono()
		r.more(1)
		resumed = max(resumed, time.Duration(proc.Mono()-back))
	}
	r.more(100)
	h := r.verdict(40 * time.Second)
	r.figure("Redis killed %d times: %d tasks acknowledged, %d submits without an answer; starts went on at most %v after it was ready",
		kills, len(h.Acked), h.Unknown, resumed.Round(time.Millisecond))
	if resumed > 2*time.Second {
		t.Errorf("starts went on %v after Redis was ready; 2s are promised", resumed)
	}
}
