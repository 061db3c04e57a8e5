//go:build linux

// Package faults breaks what can break under three real workers, a real redis-server and
// plugins in processes of their own, and has package check decide from the journals and
// from a snapshot whether a promise was broken. Each scenario is a test of its own; its
// row in docs/guarantees.md names the command. What is random comes from a seed:
// THROTTLE_SEED=… repeats it. THROTTLE_LONG=1 runs the long versions, TestStorm for
// THROTTLE_BUDGET (10m).
package faults

import (
	"context"
	"flag"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/throttlerd/throttlerd/tests/proc"
)

func TestMain(m *testing.M) {
	flag.Parse()
	parallel := false
	flag.Visit(func(f *flag.Flag) { parallel = parallel || f.Name == "test.parallel" })
	if !parallel {
		// the parallel tests wait for processes most of the time
		_ = flag.Set("test.parallel", "4")
	}
	redis.SetLogger(silence{}) // of connections that are to fail
	os.Exit(proc.Main(m))
}

type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

func long() bool { return os.Getenv("THROTTLE_LONG") == "1" }

// budget is how long the long version of a test may go on.
func budget(t *testing.T) time.Duration {
	text := os.Getenv("THROTTLE_BUDGET")
	if text == "" {
		return 10 * time.Minute
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		t.Fatalf("THROTTLE_BUDGET=%s: write a duration such as 10m", text)
	}
	return d
}

// seeded returns the source of all that is random in a test.
func seeded(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("THROTTLE_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("THROTTLE_SEED=%s: write the number that a run has logged", text)
		}
		seed = n
	}
	t.Logf("THROTTLE_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}
