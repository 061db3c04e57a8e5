//go:build linux

// Package blackbox proves the promises from outside: the built binaries, a real
// redis-server, plugin echo in its own process. What is judged is what the plugin wrote
// down and what stands in Redis, never what a worker says of itself. Figures are logged
// as "figure: …"; THROTTLE_LONG=1 runs the long versions.
package blackbox

import (
	"flag"
	"os"
	"testing"

	"github.com/throttlerd/throttlerd/tests/proc"
)

func TestMain(m *testing.M) {
	flag.Parse()
	parallel := false
	flag.Visit(func(f *flag.Flag) { parallel = parallel || f.Name == "test.parallel" })
	if !parallel {
		// the parallel tests wait for processes most of the time
		_ = flag.Set("test.parallel", "8")
	}
	os.Exit(proc.Main(m))
}

func long() bool { return os.Getenv("THROTTLE_LONG") == "1" }
