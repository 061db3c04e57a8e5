package heap

import (
	"math"
	"runtime"
	"runtime/debug"
	"testing"
)

// next is the size of the heap at which the next collection begins.
func next() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.NextGC
}

func TestRoomIsForGarbage(t *testing.T) {
	t.Setenv("GOGC", "")
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(math.MaxInt64))
	defer func() { ballast = nil }()
	before := next()
	MakeRoom()
	if after := next(); after < before+room {
		t.Errorf("the next collection begins at %d bytes, without room at %d", after, before)
	}
}

func TestRoomIsLeftToWhoSetsIt(t *testing.T) {
	defer func() { ballast = nil }()
	t.Setenv("GOGC", "100")
	if MakeRoom(); ballast != nil {
		t.Error("GOGC is set and there is ballast")
	}
	t.Setenv("GOGC", "")
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(1 << 30))
	if MakeRoom(); ballast != nil {
		t.Error("there are a memory limit and ballast")
	}
}
