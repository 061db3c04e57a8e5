package ratelimit_test

import (
	"fmt"

	. "github.com/throttlerd/throttlerd/ratelimit"
	"pgregory.net/rapid"
)

// limitOp is one step on the buckets of one limit.
type limitOp struct {
	verb  string
	t, c  int64 // c: tokens, or a debt, or µs for freeze and override
	rates Rates
}

func (o limitOp) GoString() string {
	return fmt.Sprintf("\n\t%s %d at %+d %v", o.verb, o.c, o.t-epoch0, o.rates)
}

func anyRates(least int) *rapid.Generator[Rates] {
	return rapid.Custom(func(t *rapid.T) Rates {
		rs := rapid.SliceOfNDistinct(anyRate(), least, 3, rapid.ID[Rate]).Draw(t, "rates")
		return Rates(rs)
	})
}

// limitStream draws steps in the order of their instants, and plays along with do, which
// applies one, to draw the instants that are hard to get right.
func limitStream(t *rapid.T, b *Buckets, verbs []string, steps int, do func(limitOp)) {
	now := epoch0
	for range steps {
		o := limitOp{verb: rapid.SampledFrom(verbs).Draw(t, "verb")}
		capacity := max(b.Rates.Capacity(), 1)
		o.c = min(rapid.SampledFrom([]int64{1, 1, 2, 0, capacity / 2, capacity - 1, capacity}).Draw(t, "c"), capacity)
		switch due := b.At(o.c); rapid.IntRange(0, 6).Draw(t, "gap") {
		case 0:
		case 1:
			now++
		case 2:
			now += magnitude(t, "jump", 1<<46)
		case 3:
			now = max(now, b.Until) // at its end, or one beside it
		case 4:
			now = max(now, b.Until-1)
		default:
			if due != Never {
				now = max(now, due-rapid.Int64Range(0, 1).Draw(t, "early"))
			}
		}
		now = min(now, 1<<51)
		o.t = now
		switch o.verb {
		case "change", "override":
			o.rates = anyRates(0).Draw(t, "new")
			o.c = magnitude(t, "for", 1<<40)
		case "freeze":
			o.c = magnitude(t, "for", 1<<34)
		}
		do(o)
	}
}

// apply does a step on the buckets; took reports whether tokens were taken.
func apply(b *Buckets, o limitOp) (took bool, cut int64) {
	b.Bring(o.t)
	switch o.verb {
	case "take":
		if took = b.At(o.c) <= o.t; took {
			b.Debit(o.t, o.c)
		}
	case "credit":
		b.Credit(o.c, o.t)
	case "owe":
		cut = b.Owe(o.c, 5, o.t)
	case "lower":
		b.Lower(o.c, o.t)
	case "freeze":
		b.Freeze(o.t + o.c)
	case "change":
		b.Set(o.rates, o.t)
	case "override":
		b.Override(o.rates, o.t+o.c, o.t)
	}
	return took, cut
}
