//go:build !linux

// Package monotonic is a clock that all processes of a machine share: on Linux alone.
package monotonic

import "time"

// Shared tells whether there is such a clock here. Without it the rest is not for use.
const Shared = false

// Now is 0.
func Now() int64 { return 0 }

// At is 0.
func At(time.Time) int64 { return 0 }

// SleepUntil returns.
func SleepUntil(int64) {}
