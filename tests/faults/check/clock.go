//go:build linux

package check

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
)

// Reading is engine time, as it was read between two instants of the monotonic clock.
type Reading struct {
	FromNs, ToNs int64
	EngineUs     int64
}

const (
	// slew: the wall clock, which is Redis', may go slower or faster than the monotonic one
	// by a part of so many, as much as Linux lets it be corrected.
	slew = 2000
	// apart is for what the plugin of the journal errs where it compares two clocks.
	apart = time.Millisecond
	// lookahead is how long before its start a task may be granted.
	lookahead = 50 * time.Millisecond
	// startsWithin is how long after its grant a start may be, and the reply under way: a
	// worker hands back what is later by 250 ms, and the way to the handler is left.
	startsWithin = 300 * time.Millisecond
)

// engine is between which two instants of engine time an instant of the monotonic clock
// lies, in µs, by the readings before and after it: where they disagree, that clock stepped.
// Before it are those of the look-ahead too, and the last before that: a start is counted
// from the reply that told it, and a clock that goes back stands still for what was not
// stored yet.
func (c *judge) engine(ns int64) (least, most int64) {
	if len(c.Clock) == 0 {
		return math.MinInt64 / 2000, math.MaxInt64 / 2000 // any
	}
	least, most = math.MaxInt64, math.MinInt64
	i, _ := slices.BinarySearchFunc(c.Clock, ns, func(r Reading, ns int64) int { return cmp.Compare(r.FromNs, ns) })
	from := i - 1
	for from > 0 && c.Clock[from].ToNs > ns-lookahead.Nanoseconds() {
		from--
	}
	for _, r := range c.Clock[max(0, from):min(len(c.Clock), i+1)] {
		off := max(ns-r.FromNs, r.ToNs-ns) / slew
		least = min(least, r.EngineUs+(ns-r.ToNs-off)/1000)
		most = max(most, r.EngineUs+(ns-r.FromNs+off)/1000)
	}
	return least, most
}

// instants decides of I6 what no stamp of the engine tells: tasks start at their grants or
// soon after, but for those whose worker or plugin stood still meanwhile; and without those,
// starts as they were keep the limit, where that is widened by how late they may be.
func (c *judge) instants(l Limit) {
	var early, late []string
	var starts []ratelimit.Grant
	most := startsWithin + c.Reply
	for _, r := range c.all {
		if !slices.Contains(l.Queues, r.Queue) {
			continue
		}
		from, to := c.engine(r.begin)
		stood := c.stood(r, r.begin-(to-r.GrantUs)*1000)
		switch {
		case to+apart.Microseconds() < r.GrantUs:
			early = append(early, fmt.Sprintf("%s (%v)", r.Task, time.Duration(r.GrantUs-to)*time.Microsecond))
		case c.Jumps == 0 && from-most.Microseconds() > r.GrantUs && !stood: // a jump is not lateness
			late = append(late, fmt.Sprintf("%s (%v)", r.Task, time.Duration(from-r.GrantUs)*time.Microsecond))
		}
		if !stood {
			starts = append(starts, ratelimit.Grant{At: r.begin / 1000, Cost: 1})
		}
	}
	c.some("I6", "tasks under limit "+l.Name+" started before their grants", early)
	c.some("I6", "tasks under limit "+l.Name+" started more than "+most.String()+" after their grants", late)
	if len(l.Epochs) > 1 {
		return // they are by engine time
	}
	rate := l.Epochs[0].Rate
	rate.Burst *= 1 + c.Jumps
	if err := ratelimit.CheckLate(rate, most+apart, starts); err != nil {
		c.bad("I6", "starts under limit %s: %v", l.Name, err)
	}
}

// stood tells whether the worker or the plugin of a run stood still between its grant and
// its start.
func (c *judge) stood(r *run, granted int64) bool {
	return slices.ContainsFunc(c.Faults, func(f Fault) bool {
		paused := f.Kind == Stall || f.Kind == WorkerPaused
		return paused && (f.Process == r.Worker || f.Process == r.PID) && f.From <= r.begin && f.To >= granted
	})
}
