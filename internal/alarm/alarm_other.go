//go:build !linux

package alarm

// New makes an alarm.
func New() Alarm { return newTimer() }
