package ratelimit_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	. "github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/tests/redistest"
)

// BenchmarkTake is one decision on a redis-server, by one goroutine and by 64.
func BenchmarkTake(b *testing.B) {
	rdb := redistest.Start(b).Client()
	defer rdb.Close()
	l, err := NewLimiter(rdb, Options{Namespace: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	if err := l.Set(context.Background(), "api", Rate{1_000_000, time.Second, 1_000_000}); err != nil {
		b.Fatal(err)
	}
	take := func(b *testing.B) {
		if _, err := l.Take(context.Background(), "api", 1); err != nil {
			b.Error(err)
		}
	}
	b.Run("goroutines=1", func(b *testing.B) {
		for b.Loop() {
			take(b)
		}
	})
	b.Run("goroutines=64", func(b *testing.B) {
		b.SetParallelism(max(1, 64/runtime.GOMAXPROCS(0)))
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				take(b)
			}
		})
	})
}
