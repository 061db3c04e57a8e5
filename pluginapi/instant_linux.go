package pluginapi

import (
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

// sharedAt is what the clock shows at t, an instant of time.Now; not less.
func sharedAt(t time.Time) int64 {
	left := time.Until(t)
	return sharedNow() + left.Nanoseconds()
}

// instantOf is when the clock shows at; not before.
func instantOf(at int64) time.Time {
	left := at - sharedNow()
	return time.Now().Add(time.Duration(left))
}
