package ratelimit_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	. "github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/tests/redistest"
)

// backend is a Redis, empty, for one test.
type backend struct {
	rdb redis.UniversalClient
}

// onBackends runs one conformance test on a real redis-server and on miniredis.
func onBackends(t *testing.T, test func(t *testing.T, b backend)) {
	t.Run("redis", func(t *testing.T) {
		c := redistest.Start(t).Client()
		t.Cleanup(func() { c.Close() })
		test(t, backend{c})
	})
	t.Run("miniredis", func(t *testing.T) {
		c := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr(), MaxRetries: -1})
		t.Cleanup(func() { c.Close() })
		test(t, backend{c})
	})
}

// step moves the server's clock, as the scripts of a namespace see it: TIME plus offset
// is all that they look at.
func (b backend) step(t *testing.T, ns string, by time.Duration) {
	t.Helper()
	if err := b.rdb.HIncrBy(t.Context(), "{"+ns+"}:clock", "off", by.Microseconds()).Err(); err != nil {
		t.Fatal(err)
	}
}

// clock returns the stored engine time and offset.
func (b backend) clock(t *testing.T, ns string) (last, off int64) {
	t.Helper()
	h := b.rdb.HGetAll(t.Context(), "{"+ns+"}:clock").Val()
	last, _ = strconv.ParseInt(h["last"], 10, 64)
	off, _ = strconv.ParseInt(h["off"], 10, 64)
	return last, off
}

func (b backend) limiter(t *testing.T, ns string) *Limiter {
	t.Helper()
	l, err := NewLimiter(b.rdb, Options{Namespace: ns})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustTake(t *testing.T, l *Limiter, name string, n int64) Decision {
	t.Helper()
	d, err := l.Take(context.Background(), name, n)
	must(t, err)
	return d
}
