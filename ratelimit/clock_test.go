package ratelimit_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	. "github.com/throttlerd/throttlerd/ratelimit"
)

// The clock's two functions by themselves.
func TestClock(t *testing.T) {
	read := redis.NewScript(ClockLua + `
local now, off, stepped = clock_read(KEYS[1])
if ARGV[1] == 'w' then clock_write(KEYS[1], now, off) end
return {now, off, stepped}`)
	onBackends(t, func(t *testing.T, b backend) {
		call := func(write string) (now, off, stepped int64) {
			t.Helper()
			v, err := read.Run(t.Context(), b.rdb, []string{"{c}:clock"}, write).Int64Slice()
			must(t, err)
			return v[0], v[1], v[2]
		}
		if call("r"); b.rdb.Exists(t.Context(), "{c}:clock").Val() != 0 {
			t.Fatal("reading wrote")
		}
		first, off, stepped := call("w")
		if d := time.Since(time.UnixMicro(first)).Abs(); d > time.Minute || off != 0 || stepped != 0 {
			t.Fatalf("begins %v off, offset %d, stepped %d", d, off, stepped)
		}
		if last, _ := b.clock(t, "c"); last != first {
			t.Fatalf("stored %d, want %d", last, first)
		}

		// An hour back: at once on from the last instant, then as fast as before.
		b.step(t, "c", -time.Hour)
		for range 2 { // a step that was not stored is found again
			now, off, stepped := call("r")
			if now != first || stepped <= 0 || stepped > time.Hour.Microseconds() || off >= 0 {
				t.Fatalf("after a step back: %d after the last, offset %d, stepped %d", now-first, off, stepped)
			}
		}
		call("w")
		for begin := time.Now(); ; {
			now, _, stepped := call("w")
			if now-first > 1500 && now-first < time.Minute.Microseconds() && stepped == 0 {
				break
			}
			if time.Since(begin) > 10*time.Second {
				t.Fatalf("time went on by %d µs, stepped %d", now-first, stepped)
			}
		}

		// Forward is taken as it comes.
		b.step(t, "c", 2*time.Hour)
		if now, _, stepped := call("w"); now-first < 2*time.Hour.Microseconds() || stepped != 0 {
			t.Fatalf("after a step forward: %d after the first, stepped %d", now-first, stepped)
		}
		for k, v := range b.rdb.HGetAll(t.Context(), "{c}:clock").Val() {
			if _, err := fmt.Sscanf(v, "%d", new(int64)); err != nil || len(v) > 17 {
				t.Errorf("%s is stored as %q", k, v)
			}
		}
	})
}

// The server's clock itself moves, both ways, under a Limiter.
func TestLimiterClockSteps(t *testing.T) {
	m := miniredis.RunT(t)
	rdb := redis.NewClient(&redis.Options{Addr: m.Addr()})
	defer rdb.Close()
	l := backend{rdb}.limiter(t, "c")
	now := time.UnixMicro(epoch0)
	m.SetTime(now)
	must(t, l.Set(t.Context(), "api", Rate{1, time.Second, 2}))

	var grants []Grant
	for i, s := range []struct {
		step    time.Duration // of TIME, before the take
		granted bool
		wait    time.Duration
	}{
		{0, true, 0},
		{0, true, 0},
		{0, false, time.Second},
		{-time.Hour, false, time.Second}, // nothing is there sooner,
		{999 * time.Millisecond, false, time.Millisecond},         // and nothing later
		{time.Millisecond, true, 0},                               //
		{-24 * time.Hour, false, time.Second},                     // found by a take that is refused
		{time.Second - time.Microsecond, false, time.Microsecond}, // and kept
		{time.Microsecond, true, 0},                               //
		{30 * 24 * time.Hour, true, 0},                            // a step forward: one burst
		{0, true, 0},                                              //
		{0, false, time.Second},                                   //
		{-30 * 24 * time.Hour, false, time.Second},                // taken back: no stall
		{time.Second, true, 0},                                    //
	} {
		now = now.Add(s.step)
		m.SetTime(now)
		d := mustTake(t, l, "api", 1)
		if d.Granted != s.granted || d.Wait != s.wait {
			t.Fatalf("step %d: granted %v, wait %v; want %v, %v", i, d.Granted, d.Wait, s.granted, s.wait)
		}
		if d.Granted {
			grants = append(grants, Grant{d.At.UnixMicro(), 1})
		}
	}
	if err := Check(Rate{1, time.Second, 2}, grants); err != nil {
		t.Error(err)
	}
}
