package ratelimit

import (
	"math"
	"slices"
)

// Buckets are those of one limit: a bucket for each of its rates, and its freeze. All of
// them hold what is taken, or nothing is.
//
// An override is a change of rates that ends by itself: until Until the Rates are in
// force, from then on Base. Whoever looks next brings the buckets over, exactly at that
// instant ([Buckets.Bring]), so it does not matter how late that is.
//
// Instants and costs are those of [Bucket], and the arithmetic is as exact. Every method
// but Bring and At wants the buckets brought to the instant that it is told. Rates and
// Base are never written to, so they may be shared; [Buckets.Clone] copies the rest.
type Buckets struct {
	Rates  Rates    // in force
	Each   []Bucket // of each rate
	Base   Rates    // those that come back at Until
	Until  int64    // 0: the rates in force stay
	Frozen int64    // nothing before this instant; the buckets accrue meanwhile
}

// NewBuckets returns the buckets of rates, full.
func NewBuckets(rates Rates) Buckets {
	return Buckets{Rates: rates, Each: make([]Bucket, len(rates))}
}

// Clone returns buckets that share nothing that is written to.
func (b *Buckets) Clone() Buckets {
	c := *b
	c.Each = slices.Clone(b.Each)
	return c
}

// Bring ends an override whose end has come by now, at that end.
func (b *Buckets) Bring(now int64) {
	if b.Until == 0 || now < b.Until {
		return
	}
	b.Change(b.Base, b.Until)
	b.Base, b.Until = nil, 0
}

// At returns the earliest instant at which every bucket holds c tokens and the freeze is
// over, given that none is taken before; it may lie in the past. It looks through the end
// of an override. It is Never for c above a capacity for good, and the end of the freeze
// where there is no rate.
func (b *Buckets) At(c int64) int64 {
	at := b.at(c)
	if b.Until == 0 || at < b.Until {
		return at
	}
	after := *b // Change makes new buckets: those of b stay
	after.Change(b.Base, b.Until)
	return max(b.Until, after.at(c))
}

// at is At under the rates in force.
func (b *Buckets) at(c int64) int64 {
	at := b.Frozen
	for i, r := range b.Rates {
		at = max(at, b.Each[i].At(r, c))
	}
	return at
}

// Debit takes c tokens at t, which the caller has found to be there: b.At(c) ≤ t, and t
// lies before the end of an override.
func (b *Buckets) Debit(t, c int64) {
	for i, r := range b.Rates {
		b.Each[i].Debit(r, t, c)
	}
}

// Left returns the whole tokens at t: the least of the buckets, 0 where there is no rate.
func (b *Buckets) Left(t int64) int64 {
	if len(b.Rates) == 0 {
		return 0
	}
	left := int64(math.MaxInt64)
	for i, r := range b.Rates {
		left = min(left, b.Each[i].Left(r, t))
	}
	return left
}

// Tokens returns the least level at t with its fraction, for display.
func (b *Buckets) Tokens(t int64) float64 {
	if len(b.Rates) == 0 {
		return 0
	}
	tokens := math.Inf(1)
	for i, r := range b.Rates {
		tokens = min(tokens, b.Each[i].Tokens(r, t))
	}
	return tokens
}

// Full reports whether all that is kept could be forgotten at now: the buckets are full,
// nothing is frozen, and no override is in force.
func (b *Buckets) Full(now int64) bool {
	for i, r := range b.Rates {
		if b.Each[i].At(r, r.Burst) > now {
			return false
		}
	}
	return b.Frozen <= now && b.Until == 0
}

// Change carries the buckets over to new rates at now. A rate that stays keeps its
// bucket; of the others, old and new are paired in order and carried over as
// [Bucket.Change] does; one without a partner begins full. It returns the instant from
// which all new rates hold: now, or later where tokens were taken ahead.
func (b *Buckets) Change(rates Rates, now int64) (at int64) {
	at = now
	each := make([]Bucket, len(rates))
	var old []int // places of the rates that do not stay
	for i, r := range b.Rates {
		if j := slices.Index(rates, r); j >= 0 {
			each[j] = b.Each[i]
		} else {
			old = append(old, i)
		}
	}
	for j, r := range rates {
		if len(old) == 0 || slices.Contains(b.Rates, r) {
			continue
		}
		i := old[0]
		old = old[1:]
		each[j] = b.Each[i]
		at = max(at, each[j].Change(b.Rates[i], r, now))
	}
	b.Rates, b.Each = rates, each
	return at
}

// Set changes the rates for good, and ends an override.
func (b *Buckets) Set(rates Rates, now int64) (at int64) {
	b.Bring(now)
	b.Base, b.Until = nil, 0
	return b.Change(rates, now)
}

// Override changes the rates until an instant after now. What comes back then is what was
// there before the first of several overrides.
func (b *Buckets) Override(rates Rates, until, now int64) (at int64) {
	b.Bring(now)
	if b.Until == 0 {
		b.Base = b.Rates
	}
	b.Until = until
	return b.Change(rates, now)
}

// Freeze holds everything back until an instant, or until a later one that is set already.
func (b *Buckets) Freeze(until int64) { b.Frozen = max(b.Frozen, until) }
