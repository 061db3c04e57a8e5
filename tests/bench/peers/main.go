// Peers runs other task queues and limiters on a redis-server, for the comparison of
// tests/bench: a module of its own, so that they are no dependencies of throttlerd. It
// prints what it measured as one line of JSON.
//
//	peers SOCKET WHAT [N] [WIDTH]
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"
)

// figures are what a run found out; what does not apply is left out.
type figures struct {
	PerSecond float64 `json:"per_second,omitempty"`
	P50       float64 `json:"p50_ms,omitempty"`
	P99       float64 `json:"p99_ms,omitempty"`
	Errors    int     `json:"errors,omitempty"`
	Starts    []int64 `json:"starts_us,omitempty"`
}

type runner func(socket string, n, width int) (figures, error)

var runs = map[string]runner{
	"asynq-drain1":   asynqDrain(1),
	"asynq-drain100": asynqDrain(100),
	"asynq-submit":   asynqSubmit,
	"asynq-latency":  asynqLatency,
	"asynq-recipe":   asynqRecipe,
	"asynq-idle":     asynqIdle,
	"redis_rate":     redisRate,
	"throttled":      throttledDecisions,
	"evalsha":        bareEvalsha,
	"pingpong":       pingPong,
}

func main() {
	if len(os.Args) < 3 || runs[os.Args[2]] == nil {
		fmt.Fprintln(os.Stderr, "usage: peers SOCKET WHAT [N] [WIDTH]")
		os.Exit(2)
	}
	number := func(i, otherwise int) int {
		if len(os.Args) > i {
			if n, err := strconv.Atoi(os.Args[i]); err == nil {
				return n
			}
		}
		return otherwise
	}
	f, err := runs[os.Args[2]](os.Args[1], number(3, 10_000), number(4, 64))
	if err != nil {
		fmt.Fprintf(os.Stderr, "peers %s: %v\n", os.Args[2], err)
		os.Exit(1)
	}
	_ = json.NewEncoder(os.Stdout).Encode(f)
}

// resetCounts makes the server count commands from here on.
func resetCounts(socket string) error {
	rdb := client(socket)
	defer rdb.Close()
	return rdb.ConfigResetStat(context.Background()).Err()
}

// perSecond is n things since an instant.
func perSecond(n int, since time.Time) float64 { return float64(n) / time.Since(since).Seconds() }

// quantiles sets the median and the 99th percentile of durations.
func (f *figures) quantiles(d []time.Duration) {
	slices.Sort(d)
	at := func(q float64) float64 { return d[int(q*float64(len(d)-1))].Seconds() * 1000 }
	f.P50, f.P99 = at(0.5), at(0.99)
}
