//go:build !linux

package pluginapi

import "time"

// There is no clock here that processes are known to share; the rest is not used.
const sharedClock = false

func sharedNow() int64         { return 0 }
func sharedAt(time.Time) int64 { return 0 }
func sleepUntil(int64)         {}
