package pluginapi

import (
	"runtime"
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

// sleepUntil returns when the clock shows at least at. It holds a thread meanwhile, which
// wakes 0.1 ms late where a timer of an idle Go program is 0.6 ms late.
func sleepUntil(at int64) {
	if sharedNow() >= at {
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) // or the kernel may add 50 µs
	ts := unix.NsecToTimespec(at)
	for sharedNow() < at { // a signal of Go's scheduler ends the sleep early
		_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &ts, nil)
	}
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0) // as it was
}
