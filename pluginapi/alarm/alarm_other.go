//go:build !linux

package alarm

func newAlarm() alarm { return newTimer() }
