package alarm

import (
	"testing"
	"time"
)

func each(t *testing.T, test func(t *testing.T, a alarm)) {
	for name, a := range map[string]alarm{"of the system": newAlarm(), "of Go": newTimer()} {
		t.Run(name, func(t *testing.T) {
			defer a.close()
			test(t, a)
		})
	}
}

func TestRingsAtItsInstant(t *testing.T) {
	each(t, func(t *testing.T, a alarm) {
		for i := range 50 {
			due := time.Now().Add(time.Duration(i) * 100 * time.Microsecond)
			a.set(due)
			if !a.wait() {
				t.Fatal("closed")
			}
			if early := time.Until(due); early > 0 {
				t.Errorf("rang %s early", early)
			}
		}
	})
}

// An instant that is changed while somebody waits: to an earlier one, to one that has
// passed, and to a later one.
func TestIsChangedWhileItWaits(t *testing.T) {
	each(t, func(t *testing.T, a alarm) {
		rang := make(chan bool)
		go func() {
			for a.wait() {
				rang <- true
			}
			close(rang)
		}()
		a.set(time.Now().Add(time.Hour))
		a.set(time.Now().Add(time.Millisecond))
		<-rang
		a.set(time.Now().Add(time.Hour))
		a.set(time.Now().Add(-time.Hour))
		<-rang
		a.set(time.Now().Add(10 * time.Second))
		a.set(time.Now().Add(time.Hour))
		a.close()
		if _, more := <-rang; more {
			t.Error("rang when it was closed")
		}
		a.set(time.Now()) // does nothing
	})
}
