//go:build !linux

package pluginapi

import "time"

// There is no clock here that processes are known to share; the rest is not used.
const sharedClock = false

func sharedAt(time.Time) int64  { return 0 }
func instantOf(int64) time.Time { return time.Time{} }
