package ratelimit_test

import (
	"math"
	"math/big"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	. "github.com/throttlerd/throttlerd/ratelimit"
	"pgregory.net/rapid"
)

// naive is a limit as its words have it: levels in rationals, of which each change of
// rates lists the partners.
type naive struct {
	levels        []*level
	base          Rates
	until, frozen int64
}

func (n *naive) rates() (rs Rates) {
	for _, l := range n.levels {
		rs = append(rs, l.rate)
	}
	return rs
}

func (n *naive) accrue(t int64) {
	if n.until > 0 && t >= n.until {
		n.change(n.base, n.until)
		n.until = 0
	}
	for _, l := range n.levels {
		l.accrue(t)
	}
}

func (n *naive) change(rates Rates, t int64) {
	for _, l := range n.levels {
		l.accrue(t)
	}
	stays := func(l *level) bool { return slices.Contains(rates, l.rate) }
	rest := slices.DeleteFunc(slices.Clone(n.levels), stays)
	levels := make([]*level, len(rates))
	for i, r := range rates {
		if j := slices.IndexFunc(n.levels, func(l *level) bool { return l.rate == r }); j >= 0 {
			levels[i] = n.levels[j]
		}
	}
	for i, r := range rates {
		switch {
		case levels[i] != nil:
		case len(rest) > 0:
			levels[i] = &level{r, t, new(big.Rat).SetInt(rest[0].floor())}
			levels[i].cap(r.Burst)
			rest = rest[1:]
		default:
			levels[i] = &level{r, t, new(big.Rat).SetInt64(r.Burst)}
		}
	}
	n.levels = levels
}

func (n *naive) left() int64 {
	left := int64(0)
	for i, l := range n.levels {
		if f := l.floor().Int64(); i == 0 || f < left {
			left = f
		}
	}
	return left
}

func (n *naive) do(o limitOp) (cut int64) {
	n.accrue(o.t)
	add := func(l *level, c int64) { l.n.Add(l.n, new(big.Rat).SetInt64(c)) }
	for _, l := range n.levels {
		switch o.verb {
		case "take":
			if o.t >= n.frozen && n.left() >= o.c {
				defer add(l, -o.c) // when all have been looked at
			}
		case "credit":
			add(l, min(o.c, l.rate.Burst))
			l.cap(l.rate.Burst)
		case "owe":
			took := max(0, min(o.c, l.floor().Int64()+min(5, l.rate.Burst)))
			cut = max(cut, o.c-took)
			add(l, -took)
		case "lower":
			if l.floor().Int64() > o.c {
				l.n.SetInt64(o.c)
			}
		}
	}
	switch o.verb {
	case "freeze":
		n.frozen = max(n.frozen, o.t+o.c)
	case "change":
		n.until = 0
		n.change(o.rates, o.t)
	case "override":
		if n.until == 0 {
			n.base = n.rates()
		}
		n.until = o.t + o.c
		n.change(o.rates, o.t)
	}
	return cut
}

func TestBucketsAreNaive(t *testing.T) {
	// A change lets a debt pass at the old rate first, so one follows no debt here.
	for _, verbs := range [][]string{
		{"take", "take", "take", "take", "credit", "lower", "freeze", "change", "override", "look"},
		{"take", "take", "take", "take", "credit", "owe", "owe", "lower", "freeze", "look"},
	} {
		rapid.Check(t, func(t *rapid.T) {
			b := NewBuckets(anyRates(0).Draw(t, "first"))
			n := &naive{}
			n.change(b.Rates, epoch0)
			limitStream(t, &b, verbs, 40, func(o limitOp) {
				before := b.Clone()
				_, cut := apply(&b, o)
				if want := n.do(o); cut != want {
					t.Fatalf("%#v: cut %d, naive %d", o, cut, want)
				}
				if got, want := b.Left(o.t), n.left(); got != want {
					t.Fatalf("%#v of %+v: %d left, naive %d", o, before, got, want)
				}
				holds := n.frozen <= o.t && (len(n.levels) == 0 || n.left() >= 1)
				if got := b.At(1) <= o.t; got != holds {
					t.Fatalf("%#v of %+v: a token there %v, naive %v", o, before, got, holds)
				}
				if floor := int64(math.Floor(b.Tokens(o.t))); floor != b.Left(o.t) {
					t.Fatalf("%#v: %v tokens, %d left", o, b.Tokens(o.t), b.Left(o.t))
				}
			})
		})
	}
}

// What is said to be there is there then, and not a microsecond sooner, also beyond the
// end of an override; and it does not matter when, after that end, somebody looks.
func TestBucketsAtAndBring(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := NewBuckets(anyRates(0).Draw(t, "first"))
		verbs := []string{"take", "take", "take", "credit", "lower", "owe", "freeze", "change", "override", "override"}
		limitStream(t, &b, verbs, 25, func(o limitOp) {
			apply(&b, o)
			holds := func(c, at int64) bool {
				after := b.Clone()
				after.Bring(at)
				there := after.Frozen <= at
				for i, r := range after.Rates {
					there = there && after.Each[i].Left(r, at) >= c
				}
				return there
			}
			c := rapid.Int64Range(1, max(1, b.Rates.Capacity())).Draw(t, "look for")
			at := b.At(c)
			if at != Never && at > o.t && (!holds(c, at) || holds(c, at-1)) {
				t.Fatalf("%+v: %d tokens are not there at %d, or sooner", b, c, at)
			}
			if b.Until > 0 {
				sharp, late := b.Clone(), b.Clone()
				sharp.Bring(b.Until)
				late.Bring(b.Until + magnitude(t, "late", 1<<40))
				if d := cmp.Diff(sharp, late); d != "" {
					t.Fatalf("brought at the end of the override, and later:\n%s", d)
				}
				if at >= b.Until && at != max(b.Until, sharp.At(c)) {
					t.Fatalf("%+v: %d tokens at %d, said after the override %d", b, c, at, sharp.At(c))
				}
			}
		})
	})
}
