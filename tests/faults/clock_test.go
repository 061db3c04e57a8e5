//go:build linux

package faults

import (
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/tests/faults/check"
	"github.com/throttlerd/throttlerd/tests/proc"
)

// Row 31: Redis' clock jumps two hours forward and ten minutes back under load. All that
// scripts see of it is TIME plus an offset that is stored, so the offset is moved. A jump
// forward is worth one burst at most, by a clock that does not jump; none stops the starts
// or runs a task twice.
func TestRedisClockJumps(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.lease = 3 * time.Second
	r.standard("")
	r.start(3)
	r.produce(12 * time.Millisecond)
	jumps := []time.Duration{2 * time.Hour, -10 * time.Minute, -time.Second, time.Hour}
	var longest time.Duration
	for _, by := range jumps {
		r.more(200)
		from := proc.Mono()
		r.must(r.rdb.HIncrBy(r.ctx(), "{"+namespace+"}:clock", "off", by.Microseconds()).Err())
		r.fault(check.Stall, from, 0, 0)
		if by > 0 {
			r.h.Jumps++
		}
		r.more(20)
		longest = max(longest, time.Duration(proc.Mono()-from))
	}
	r.verdict(30 * time.Second)
	r.figure("clock jumped by %v: 20 starts took %v after it at most", jumps, longest.Round(time.Millisecond))
	if longest > 3*time.Second {
		t.Errorf("a jump stopped the starts for %v", longest)
	}
}
