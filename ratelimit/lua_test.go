package ratelimit_test

import (
	"context"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	. "github.com/throttlerd/throttlerd/ratelimit"
	"pgregory.net/rapid"
)

// playLua is play in Lua: a bucket at an explicit time, many steps in one call.
//
// ARGV     N, P, B, then for each step: verb, t, c, and N, P, B to change to
// Returns  F, R, said, left of each step
var playLua = redis.NewScript(BucketLua + `
local N, P, B = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local F, R = 0, 0
local out = {}
for i = 4, #ARGV, 6 do
  local verb, t, c = tonumber(ARGV[i]), tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local said
  if verb == 0 then -- take
    said = -1
    if c <= B then
      said = math.max(bucket_at(N, P, B, F, R, c) - t, 0)
      if said == 0 then
        F, R = bucket_debit(N, P, F, R, t, c)
      end
    end
  elseif verb == 1 then -- reserve
    said = math.max(bucket_at(N, P, B, F, R, c), t)
    F, R = bucket_debit(N, P, F, R, said, c)
  elseif verb == 2 then -- change
    local N2, P2, B2 = tonumber(ARGV[i + 3]), tonumber(ARGV[i + 4]), tonumber(ARGV[i + 5])
    F, R, said = bucket_change(N, P, B, F, R, t, N2, P2, B2)
    N, P, B = N2, P2, B2
  else -- look
    said = bucket_at(N, P, B, F, R, c)
  end
  local n = #out
  out[n + 1], out[n + 2], out[n + 3], out[n + 4] = F, R, said, bucket_left(N, P, B, F, R, t)
end
return out
`)

// The model and the Lua, on the same random streams, answer by answer.
func TestLuaEqualsModel(t *testing.T) {
	onBackends(t, func(t *testing.T, b backend) {
		rapid.Check(t, func(t *rapid.T) {
			r := anyRate().Draw(t, "rate")
			ops := stream(r, 200, false).Draw(t, "ops")
			args := []any{r.N, r.Period.Microseconds(), r.Burst}
			for _, o := range ops {
				args = append(args, int(o.verb), o.t, o.c, o.rate.N, o.rate.Period.Microseconds(), o.rate.Burst)
			}
			v, err := playLua.Run(context.Background(), b.rdb, []string{"{t}:x"}, args...).Int64Slice()
			if err != nil {
				t.Fatal(err)
			}
			var bucket Bucket
			model := play(r, &bucket, ops, func(Grant) {}, func(Epoch) {})
			if len(v) != 4*len(model) {
				t.Fatalf("%d answers to %d steps", len(v)/4, len(model))
			}
			for i, want := range model {
				if got := (answer{v[4*i], v[4*i+1], v[4*i+2], v[4*i+3]}); got != want {
					t.Fatalf("step %d, %#v (-model +lua):\n%s", i, ops[i], cmp.Diff(want, got))
				}
			}
		})
	})
}

// Answers far outside of any sane clock: no endless loop, the same end of counting.
func TestLuaCorners(t *testing.T) {
	onBackends(t, func(t *testing.T, b backend) {
		for _, r := range extremes {
			ops := []op{
				{verb: look, t: 1, c: r.Burst},
				{verb: take, t: 1 << 51, c: r.Burst},
				{verb: look, t: 1, c: 0}, // 70 years before
				{verb: look, t: 1<<51 - 9_000_000, c: 1},
				{verb: look, t: 1<<51 - 9_000_001, c: 1},
				{verb: reserve, t: 1, c: r.Burst},
				{verb: change, t: 1, rate: Rate{7, time.Hour, 3}},
				{verb: take, t: 1 << 52, c: 3},
			}
			args := []any{r.N, r.Period.Microseconds(), r.Burst}
			for _, o := range ops {
				args = append(args, int(o.verb), o.t, o.c, o.rate.N, o.rate.Period.Microseconds(), o.rate.Burst)
			}
			got, err := playLua.Run(t.Context(), b.rdb, []string{"{t}:x"}, args...).Int64Slice()
			must(t, err)
			var bucket Bucket
			var want []int64
			for _, a := range play(r, &bucket, ops, func(Grant) {}, func(Epoch) {}) {
				want = append(want, a.F, a.R, a.Said, a.Left)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%v (-model +lua):\n%s", r, d)
			}
		}
	})
}

// drainLua returns the instants of the next k grants of a bucket that is empty at t.
var drainLua = redis.NewScript(BucketLua + `
local N, P, B, t = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local F, R = bucket_debit(N, P, 0, 0, t, B)
local out = {}
for k = 1, tonumber(ARGV[5]) do
  t = math.max(t, bucket_at(N, P, B, F, R, 1))
  F, R = bucket_debit(N, P, F, R, t, 1)
  out[k] = t
end
return out
`)

func TestLuaDoesNotDrift(t *testing.T) {
	onBackends(t, func(t *testing.T, b backend) {
		grants := int64(30_000)
		if strings.HasSuffix(t.Name(), "miniredis") { // slow, and the same Lua
			grants = 10_000
		}
		for _, r := range []Rate{
			{7, time.Hour, 2}, {30000, time.Second, 2}, {1, time.Hour, 100}, {1000, time.Millisecond, 3},
			{1e9, time.Millisecond, 9007199}, {1e9, 366 * day, 9007199}, {999_999_937, 366*day - time.Millisecond, 9007199},
			{1, 366 * day, 9}, {1, 315360 * time.Second, 1000},
		} {
			// 30,000 grants of the slowest take longer than numbers last.
			k := min(grants, (1<<52-epoch0)/max(r.Period.Microseconds()/r.N, 1))
			v, err := drainLua.Run(t.Context(), b.rdb, []string{"{t}:x"}, r.N, r.Period.Microseconds(), r.Burst, epoch0, k).Int64Slice()
			must(t, err)
			for i, at := range v {
				// ⌈k·P/N⌉
				want := new(big.Int).Mul(big.NewInt(int64(i+1)), big.NewInt(r.Period.Microseconds()))
				want.Add(want, big.NewInt(r.N-1)).Quo(want, big.NewInt(r.N))
				if at != epoch0+want.Int64() {
					t.Fatalf("%v: grant %d at %d, want %v", r, i+1, at-epoch0, want)
				}
			}
		}
	})
}

// bucket_left searches; the search must begin next to its end, whatever the rate.
func TestLuaLeftIsQuick(t *testing.T) {
	const head = "local function bucket_span(N, P, c)\n"
	if !strings.Contains(BucketLua, head) {
		t.Fatalf("bucket.lua has no %q", head)
	}
	count := redis.NewScript("local spans = 0\n" + strings.Replace(BucketLua, head, head+"spans = spans + 1\n", 1) + `
local N, P, B = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local us = bucket_span(N, P, B)
local most = 0
for i = 0, 20 do
  for _, R in ipairs({0, 1, math.floor(N / 2), N - 1}) do
    for _, ahead in ipairs({0, 50000, 1e13}) do
      spans = 0
      bucket_left(N, P, B, 1e15 + math.floor(us * i / 20) + ahead, R % N, 1e15)
      most = math.max(most, spans)
    end
  end
end
return most`)
	onBackends(t, func(t *testing.T, b backend) {
		for _, r := range append(append([]Rate{}, ordinary...), extremes...) {
			n, err := count.Run(t.Context(), b.rdb, []string{"{t}:x"}, r.N, r.Period.Microseconds(), r.Burst).Int()
			must(t, err)
			if n > 6 {
				t.Errorf("%v: %d spans to count what is left", r, n)
			}
		}
	})
}
