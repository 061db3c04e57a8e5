package pluginapi

import (
	"sync"
	"testing"
	"time"
)

func TestSleepIsNeverShort(t *testing.T) {
	if !sharedClock {
		t.Skip("no clock that processes share")
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for k := range 20 {
				due := time.Now().Add(time.Duration(i*k) * 100 * time.Microsecond)
				sleepUntil(sharedAt(due))
				if early := time.Until(due); early > 0 {
					t.Errorf("woke %s early", early)
				}
			}
		})
	}
	wg.Wait()
	sleepUntil(sharedNow() - 1)
}
