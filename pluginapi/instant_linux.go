package pluginapi

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// The machine's monotonic clock: all its processes read the same, so that a host can tell a
// plugin an instant.
const sharedClock = true

// sharedNow is the clock in nanoseconds.
func sharedNow() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err) // every Linux has it
	}
	return ts.Nano()
}

// clocks are this process's and the shared one at one time. They go alike, so one look serves
// for ever, and what it errs is the same for all instants: they keep their order and their
// distances. It is the best of a few looks, as one may be interrupted.
var clocks = sync.OnceValue(func() (best struct {
	local         time.Time
	before, after int64 // what the shared clock showed
}) {
	for i := range 10 {
		before := sharedNow()
		local := time.Now()
		after := sharedNow()
		if i == 0 || after-before < best.after-best.before {
			best.local, best.before, best.after = local, before, after
		}
	}
	return best
})

// sharedAt is what the clock shows at t, an instant from time.Now with its monotonic reading;
// not less.
func sharedAt(t time.Time) int64 {
	c := clocks()
	return c.after + t.Sub(c.local).Nanoseconds()
}

// instantOf is when the clock shows at; not before.
func instantOf(at int64) time.Time {
	c := clocks()
	return c.local.Add(time.Duration(at - c.before))
}
