package ratelimit_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	. "github.com/throttlerd/throttlerd/ratelimit"
	"pgregory.net/rapid"
)

// bucketsLua plays steps on buckets that are stored and read between them, as scripts do.
//
// ARGV     rates, then for each step: verb, t, c, rates
// Returns  for each step: rates, buckets, override, freeze, took, cut, at(1), at(c), left
var bucketsLua = redis.NewScript(BucketLua + `
use_corrections()
local rate, bucket, over, frozen = ARGV[1], '', '', '0'
local out = {}
for i = 2, #ARGV, 4 do
  local verb, t, c, new = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]), ARGV[i + 3]
  local b = buckets_read(rate, bucket, over, frozen, t)
  if b.reverted then
    over = ''
  end
  local took, cut = 0, 0
  if verb == 'take' then
    if buckets_at(b, c) <= t then
      took = 1
      buckets_debit(b, t, c)
    end
  elseif verb == 'credit' then
    buckets_credit(b, c, t)
  elseif verb == 'owe' then
    cut = buckets_owe(b, c, 5, t)
  elseif verb == 'lower' then
    buckets_lower(b, c, t)
  elseif verb == 'freeze' then
    b.frozen = math.max(b.frozen, t + c)
  elseif verb == 'change' then
    b = buckets_change(b, new, t)
    rate, over = new, ''
  elseif verb == 'override' then
    local base = b.base or rate
    b = buckets_change(b, new, t)
    b.base, b.till = base, t + c
    over = string.format('%.0f %s', b.till, new)
  end
  bucket, frozen = buckets_text(b), string.format('%.0f', b.frozen)
  out[#out + 1] = {b.rate, bucket, over, frozen, took, cut, string.format('%.0f', buckets_at(b, 1)),
    string.format('%.0f', buckets_at(b, c)), buckets_left(b, t) or 0}
end
return out
`)

// The model and the Lua of a limit's buckets, on the same random steps, agree in all that
// is stored and all that is answered.
func TestBucketsLuaEqualsModel(t *testing.T) {
	onBackends(t, func(t *testing.T, b backend) {
		rapid.Check(t, func(t *rapid.T) {
			rates := anyRates(0).Draw(t, "rates")
			model := NewBuckets(rates)
			args := []any{rates.Stored()}
			var ops []limitOp
			var want [][]any
			instant := func(at int64) string {
				if at == Never {
					return "9007199254740992"
				}
				return fmt.Sprint(at)
			}
			verbs := []string{"take", "take", "take", "credit", "owe", "lower", "freeze", "change", "override"}
			limitStream(t, &model, verbs, 60, func(o limitOp) {
				if o.verb == "override" && o.c == 0 {
					o.c = 1 // one that ends at once is none
				}
				took, cut := apply(&model, o)
				ops = append(ops, o)
				args = append(args, o.verb, o.t, o.c, o.rates.Stored())
				override := ""
				if model.Until > 0 {
					override = fmt.Sprintf("%d %s", model.Until, model.Rates.Stored())
				}
				want = append(want, []any{model.Rates.Stored(), stored(&model), override, fmt.Sprint(model.Frozen), one(took), cut,
					instant(model.At(1)), instant(model.At(o.c)), model.Left(o.t)})
			})
			v, err := bucketsLua.Run(context.Background(), b.rdb, []string{"{t}:x"}, args...).Slice()
			if err != nil {
				t.Fatal(err)
			}
			for i := range want {
				if d := cmp.Diff(want[i], v[i]); d != "" {
					t.Fatalf("step %d, %#v (-model +lua):\n%s", i, ops[i], d)
				}
			}
		})
	})
}

// stored is how buckets.lua keeps buckets.
func stored(b *Buckets) string {
	text, used := "", false
	for i, x := range b.Each {
		if i > 0 {
			text += ","
		}
		used = used || x.FullAt > 0
		text += fmt.Sprintf("%d %d", x.FullAt, x.Rem)
	}
	if !used {
		return ""
	}
	return text
}

func one(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
