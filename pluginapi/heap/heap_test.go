package heap

import (
	"runtime"
	"testing"
)

var sink []byte

// collections counts those that so much garbage brings about.
func collections(garbage int) uint32 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range garbage / 1024 {
		sink = make([]byte, 1024)
	}
	runtime.ReadMemStats(&after)
	return after.NumGC - before.NumGC
}

func TestRoomIsForGarbage(t *testing.T) {
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	defer func() { ballast = nil }()
	const garbage = 128 << 20
	small := collections(garbage)
	MakeRoom()
	if roomy := collections(garbage); roomy*3 > small {
		t.Errorf("%d collections with room, %d without", roomy, small)
	}
}

func TestRoomIsLeftToWhoSetsIt(t *testing.T) {
	for _, name := range []string{"GOGC", "GOMEMLIMIT"} {
		t.Setenv("GOGC", "")
		t.Setenv("GOMEMLIMIT", "")
		t.Setenv(name, "100")
		if MakeRoom(); ballast != nil {
			t.Errorf("%s is set and there is ballast", name)
		}
	}
}
