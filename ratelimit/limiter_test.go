package ratelimit_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	. "github.com/throttlerd/throttlerd/ratelimit"
)

func TestLimiter(t *testing.T) {
	onBackends(t, func(t *testing.T, b backend) {
		t.Run("takes all or nothing", func(t *testing.T) {
			l := b.limiter(t, "takes")
			must(t, l.Set(t.Context(), "api", Rate{1, time.Hour, 5}))
			if d := mustTake(t, l, "api", 3); !d.Granted || d.Left != 2 || d.Wait != 0 {
				t.Errorf("3 of 5: %+v", d)
			}
			if d := mustTake(t, l, "api", 3); d.Granted || d.Left != 2 || d.Wait <= 59*time.Minute || d.Wait > time.Hour {
				t.Errorf("3 of 2: %+v", d)
			}
			if d := mustTake(t, l, "api", 2); !d.Granted || d.Left != 0 {
				t.Errorf("2 of 2: %+v", d)
			}
			var ce *CapacityError
			_, err := l.Take(t.Context(), "api", 6)
			if !errors.As(err, &ce) || *ce != (CapacityError{"api", 6, 5}) {
				t.Errorf("6 of a capacity of 5: %v", err)
			}
		})
		t.Run("peeks, resets, removes", func(t *testing.T) {
			l := b.limiter(t, "peeks")
			r := Rate{1, time.Hour, 5}
			must(t, l.Set(t.Context(), "api", r))
			full := State{Rates: Rates{r}, Left: 5, Tokens: 5}
			peek := func() State {
				t.Helper()
				s, err := l.Peek(t.Context(), "api")
				must(t, err)
				if time.Since(s.At).Abs() > time.Minute {
					t.Errorf("looked at %v", s.At)
				}
				s.At = time.Time{}
				return s
			}
			if d := cmp.Diff(full, peek()); d != "" {
				t.Error(d)
			}
			mustTake(t, l, "api", 5)
			if s := peek(); s.Left != 0 || s.Tokens < 0 || s.Tokens > 0.1 || s.NextIn <= 59*time.Minute || s.NextIn > time.Hour {
				t.Errorf("empty: %+v", s)
			}
			must(t, l.Reset(t.Context(), "api"))
			if d := cmp.Diff(full, peek()); d != "" {
				t.Error(d)
			}
			must(t, l.Remove(t.Context(), "api"))
			if keys := b.rdb.Keys(t.Context(), "{peeks}:l*").Val(); len(keys) != 0 {
				t.Errorf("left behind: %v", keys)
			}
		})
		t.Run("an unknown limit names the nearest", func(t *testing.T) {
			l := b.limiter(t, "acme")
			must(t, l.Set(t.Context(), "emails", Rate{1, time.Second, 1}))
			must(t, l.Set(t.Context(), "github", Rate{1, time.Second, 1}))
			_, take := l.Take(t.Context(), "emials", 1)
			_, peek := l.Peek(t.Context(), "emials")
			for _, err := range []error{take, peek, l.Reset(t.Context(), "emials"), l.Remove(t.Context(), "emials")} {
				var ue *UnknownLimitError
				if want := `no limit "emials" in namespace "acme"; did you mean "emails"?`; !errors.As(err, &ue) || err.Error() != want {
					t.Errorf("%v, want %s", err, want)
				}
			}
			if _, err := l.Take(t.Context(), "stripe", 1); err == nil || err.Error() != `no limit "stripe" in namespace "acme"` {
				t.Errorf("nothing is near: %v", err)
			}
			names, err := l.Names(t.Context())
			must(t, err)
			if !slices.Equal(names, []string{"emails", "github"}) {
				t.Errorf("names: %v", names)
			}
		})
		t.Run("namespaces are apart", func(t *testing.T) {
			one, two := b.limiter(t, "one"), b.limiter(t, "two")
			must(t, one.Set(t.Context(), "api", Rate{1, time.Hour, 1}))
			must(t, two.Set(t.Context(), "api", Rate{1, time.Hour, 1}))
			mustTake(t, one, "api", 1)
			if d := mustTake(t, two, "api", 1); !d.Granted {
				t.Error("a take in one namespace emptied the other's limit")
			}
		})
		t.Run("a change carries the tokens over", func(t *testing.T) {
			l := b.limiter(t, "change")
			must(t, l.Set(t.Context(), "api", Rate{1, time.Hour, 10}))
			mustTake(t, l, "api", 7)
			for _, s := range []struct {
				rate Rate
				left int64
			}{
				{Rate{1, time.Hour, 10}, 3},  // no change
				{Rate{2, time.Hour, 100}, 3}, // nothing appears
				{Rate{2, time.Hour, 2}, 2},   // what the capacity holds
				{Rate{2, time.Hour, 10}, 2},
			} {
				must(t, l.Set(t.Context(), "api", s.rate))
				got, err := l.Peek(t.Context(), "api")
				must(t, err)
				if got.Left != s.left || got.Rates[0] != s.rate {
					t.Errorf("at %v: %d left at %v, want %d", s.rate, got.Left, got.Rates, s.left)
				}
			}
		})
		t.Run("a change does not wait for the old rate's debt", func(t *testing.T) {
			l := b.limiter(t, "debt")
			must(t, l.Set(t.Context(), "api", Rate{1, 24 * time.Hour, 1}))
			mustTake(t, l, "api", 1)
			must(t, l.Set(t.Context(), "api", Rate{1, time.Minute, 1}))
			if d := mustTake(t, l, "api", 1); d.Granted || d.Wait > time.Minute {
				t.Errorf("%+v", d)
			}
		})
		t.Run("sweeps what is full, and nothing else", func(t *testing.T) {
			l := b.limiter(t, "sweep")
			for i := range 250 {
				r := Rate{1000, time.Millisecond, 1}
				if i%2 == 0 {
					r = Rate{1, time.Hour, 2}
				}
				must(t, l.Set(t.Context(), fmt.Sprintf("l%03d", i), r))
				mustTake(t, l, fmt.Sprintf("l%03d", i), 1)
			}
			b.step(t, "sweep", time.Second)
			dropped, calls, after := 0, 0, ""
			for {
				next, n, err := l.Sweep(t.Context(), after)
				must(t, err)
				dropped += n
				calls++
				if after = next; after == "" {
					break
				}
			}
			if dropped != 125 || calls != 3 {
				t.Errorf("%d dropped in %d calls, want 125 in 3", dropped, calls)
			}
			if d := mustTake(t, l, "l000", 2); d.Granted {
				t.Error("a bucket that was not full was dropped")
			}
			if d := mustTake(t, l, "l001", 1); !d.Granted {
				t.Error("a dropped bucket is not full")
			}
		})
		t.Run("time does not step back behind a sweep or a change", func(t *testing.T) {
			for _, act := range []func(*Limiter) error{
				func(l *Limiter) error { _, _, err := l.Sweep(t.Context(), ""); return err },
				func(l *Limiter) error { return l.Set(t.Context(), "api", Rate{1, time.Minute, 9}) },
			} {
				l := b.limiter(t, "steps")
				must(t, l.Set(t.Context(), "api", Rate{1, time.Second, 1}))
				must(t, l.Reset(t.Context(), "api"))
				mustTake(t, l, "api", 1)
				b.step(t, "steps", time.Hour)
				before, err := l.Peek(t.Context(), "api")
				must(t, err)
				must(t, act(l))
				b.step(t, "steps", -time.Hour)
				if d := mustTake(t, l, "api", 1); !d.Granted || d.At.Before(before.At) {
					t.Errorf("granted %v, %v before what was done to the bucket", d.Granted, before.At.Sub(d.At))
				}
			}
		})
		t.Run("state has no TTL", func(t *testing.T) {
			for _, k := range b.rdb.Keys(t.Context(), "*").Val() {
				if ttl := b.rdb.TTL(t.Context(), k).Val(); ttl != -1 {
					t.Errorf("%s expires in %v", k, ttl)
				}
			}
		})
		t.Run("keeps the bound under contention", func(t *testing.T) {
			r := Rate{7000, 3 * time.Second, 7}
			must(t, b.limiter(t, "crowd").Set(t.Context(), "api", r))
			var (
				mu     sync.Mutex
				grants []Grant
				wg     sync.WaitGroup
			)
			begin := time.Now()
			for range 4 {
				wg.Go(func() {
					l := b.limiter(t, "crowd")
					for enough := false; !enough || time.Since(begin) < 300*time.Millisecond; {
						mu.Lock()
						enough = len(grants) >= 100 || time.Since(begin) > 10*time.Second // a slow machine asks rarely
						mu.Unlock()
						d, err := l.Take(context.Background(), "api", 1)
						if err != nil {
							t.Error(err)
							return
						}
						if d.Granted {
							mu.Lock()
							grants = append(grants, Grant{d.At.UnixMicro(), 1})
							mu.Unlock()
						}
					}
				})
			}
			wg.Wait()
			if err := Check(r, grants); err != nil {
				t.Error(err)
			}
			if len(grants) < 100 { // 700 are ideal in 300 ms
				t.Errorf("only %d grants", len(grants))
			}
		})
		t.Run("survives a flush of scripts", func(t *testing.T) {
			l := b.limiter(t, "flush")
			must(t, l.Set(t.Context(), "api", Rate{1, time.Hour, 2}))
			must(t, b.rdb.ScriptFlush(t.Context()).Err())
			if d := mustTake(t, l, "api", 1); !d.Granted || d.Left != 1 {
				t.Errorf("%+v", d)
			}
		})
	})
}

func TestLimiterRefuses(t *testing.T) {
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"}) // nobody is asked
	defer rdb.Close()
	if _, err := NewLimiter(rdb, Options{Namespace: "a}b"}); !errors.Is(err, ErrBadName) {
		t.Errorf("namespace: %v", err)
	}
	l, err := NewLimiter(rdb, Options{})
	must(t, err)
	ctx := t.Context()
	take := func(name string, n int64) error { _, err := l.Take(ctx, name, n); return err }
	_, peek := l.Peek(ctx, "")
	for _, tt := range []struct {
		err  error
		want string
	}{
		{take("API", 1), `bad name: limit "API" must be 1 to 64 of a-z, 0-9, _, . and -, beginning with a letter or digit`},
		{l.Set(ctx, "a b", Rate{1, time.Second, 1}), `bad name: limit "a b"`},
		{l.Reset(ctx, "-a"), `bad name: limit "-a"`},
		{l.Remove(ctx, strings.Repeat("a", 65)), `bad name: limit "aaaaaaaaaaaaaaaaaaaaa..."`},
		{peek, `bad name: limit ""`},
		{take("api", 0), `take 0 from limit "api": the number must be 1 to 1000000000`},
		{take("api", -1), `take -1 from limit "api": the number must be 1 to 1000000000`},
		{take("api", 1e9+1), `take 1000000001 from limit "api": the number must be 1 to 1000000000`},
		{l.Set(ctx, "api", Rate{}), `set limit "api": rate "unlimited": count 0 must be 1 to 1000000000`},
		{take("api", 1), `take 1 from limit "api": dial tcp 127.0.0.1:1`},
		{l.Set(ctx, "api", Rate{1, time.Second, 1}), `set limit "api": dial tcp 127.0.0.1:1`},
	} {
		if tt.err == nil || !strings.HasPrefix(tt.err.Error(), tt.want) {
			t.Errorf("%v\n  want %s", tt.err, tt.want)
		}
	}
}
