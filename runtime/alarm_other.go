//go:build !linux

package runtime

import "time"

// timerAlarm is the portable alarm: a Go timer.
type timerAlarm struct{ rung chan struct{} }

func newAlarm() (alarm, error) { return &timerAlarm{make(chan struct{}, 1)}, nil }

func (a *timerAlarm) wait(until time.Time) {
	if until.IsZero() {
		<-a.rung
		return
	}
	t := time.NewTimer(time.Until(until))
	defer t.Stop()
	select {
	case <-a.rung:
	case <-t.C:
	}
}

func (a *timerAlarm) ring() {
	select {
	case a.rung <- struct{}{}:
	default:
	}
}

func (a *timerAlarm) close() {}
func lockThread()            {}
func unlockThread()          {}
