package alarm

import (
	"testing"
	"time"
)

func each(t *testing.T, test func(t *testing.T, a Alarm)) {
	for name, a := range map[string]Alarm{"of the system": New(), "of Go": newTimer()} {
		t.Run(name, func(t *testing.T) {
			defer a.Close()
			test(t, a)
		})
	}
}

func TestRingsAtItsInstant(t *testing.T) {
	each(t, func(t *testing.T, a Alarm) {
		for i := range 50 {
			due := time.Now().Add(time.Duration(i) * 100 * time.Microsecond)
			a.Set(due)
			if !a.Wait() {
				t.Fatal("closed")
			}
			if early := time.Until(due); early > 0 {
				t.Errorf("rang %s early", early)
			}
		}
	})
}

// An instant that is changed while somebody waits: to an earlier one, to one that has
// passed, and to none.
func TestIsChangedWhileItWaits(t *testing.T) {
	each(t, func(t *testing.T, a Alarm) {
		rang := make(chan bool)
		go func() {
			for a.Wait() {
				rang <- true
			}
			close(rang)
		}()
		a.Set(time.Now().Add(time.Hour))
		a.Set(time.Now().Add(time.Millisecond))
		<-rang
		a.Set(time.Now().Add(time.Hour))
		a.Set(time.Now().Add(-time.Hour))
		<-rang
		a.Set(time.Now().Add(20 * time.Millisecond))
		a.Set(time.Time{})
		select {
		case <-rang:
			t.Error("rang for an instant that was taken away")
		case <-time.After(40 * time.Millisecond):
		}
		a.Close()
		if _, more := <-rang; more {
			t.Error("rang when it was closed")
		}
		a.Set(time.Now()) // does nothing
	})
}
