package pluginapi

import (
	"testing"
	"time"
)

// From one process to another and back, an instant comes no earlier, hardly later, and all by
// the same.
func TestInstantIsNeverShortened(t *testing.T) {
	if !sharedClock {
		t.Skip("no clock that processes share")
	}
	var first time.Duration
	for i := range 1000 {
		due := time.Now().Add(time.Millisecond)
		late := instantOf(sharedAt(due)).Sub(due)
		if i == 0 {
			first = late
		}
		if late < 0 || late > time.Millisecond || late != first {
			t.Fatalf("%s late, the first %s", late, first)
		}
	}
}
