package pluginapi

import (
	"testing"
	"time"
)

// From one process to another and back, an instant comes no earlier, and hardly later.
func TestInstantIsNeverShortened(t *testing.T) {
	if !sharedClock {
		t.Skip("no clock that processes share")
	}
	least := time.Hour
	for range 1000 {
		due := time.Now().Add(time.Millisecond)
		late := instantOf(sharedAt(due)).Sub(due)
		if late < 0 {
			t.Errorf("%s early", -late)
		}
		least = min(least, late)
	}
	if least > time.Millisecond {
		t.Errorf("at least %s late", least)
	}
}
