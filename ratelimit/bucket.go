package ratelimit

import (
	"math"
	"math/bits"
)

// Never is the instant that [Bucket.At] returns for tokens that will never be there.
const Never = math.MaxInt64

// Bucket is a token bucket: the instant at which it is full again, FullAt whole
// microseconds and Rem N-ths of one (0 ≤ Rem < N, N of the rate it is kept under). This
// is the virtual scheduling form of the generic cell rate algorithm (ITU-T I.371,
// annex A), which is a token bucket counted in time: at instant t it holds
//
//	B − (FullAt + Rem/N − t) · N/P   tokens, at most B.
//
// The zero Bucket was never used: it is full. FullAt may lie further ahead than an empty
// bucket takes to fill, when tokens were taken at a coming instant.
//
// Every method is told the time, in microseconds of one clock since whatever epoch (0 to
// 2^53), and the rate, which must be valid. Costs are 0 to the rate's Burst. The
// arithmetic is exact: no token is minted or lost to rounding, ever. A Bucket
// is a plain value; it is not for concurrent use. bucket.lua is the same in Lua, and
// tests hold the two equal.
type Bucket struct {
	FullAt int64
	Rem    int64
}

// span returns what c tokens are worth in time: whole microseconds and N-ths of one.
// c·P is never formed; c·⌊P/N⌋ is at most MaxFill, and c·(P mod N) at most N·B.
func span(r Rate, c int64) (us, rem int64) {
	p := r.micros()
	x := c * (p % r.N)
	return c*(p/r.N) + x/r.N, x % r.N
}

// At returns the earliest instant at which the bucket holds c tokens, given that none
// is taken before; it may lie in the past. It is Never for c above the capacity.
func (b Bucket) At(r Rate, c int64) int64 {
	if c > r.Burst {
		return Never
	}
	us, rem := span(r, r.Burst-c)
	if b.Rem > rem {
		us--
	}
	return b.FullAt - us
}

// Debit takes c tokens at t, which the caller has found to be there: b.At(r, c) ≤ t.
// A later t than now takes them ahead.
func (b *Bucket) Debit(r Rate, t, c int64) {
	if b.FullAt < t {
		b.FullAt, b.Rem = t, 0
	}
	us, rem := span(r, c)
	b.FullAt += us
	b.Rem += rem
	if b.Rem >= r.N {
		b.FullAt++
		b.Rem -= r.N
	}
}

// Left returns the whole tokens at t: Burst at most, and negative when more than that
// was taken ahead. What lies more than 9e15/N µs (at least 9 s) beyond a whole bucket
// ahead is not counted.
func (b Bucket) Left(r Rate, t int64) int64 {
	left, _ := b.level(r, t)
	return left
}

// Tokens returns the level at t with its fraction, for display: Left is its floor.
func (b Bucket) Tokens(r Rate, t int64) float64 {
	left, frac := b.level(r, t)
	v := float64(left) + float64(frac)/float64(r.micros())
	if v >= float64(left+1) { // the fraction was lost beside a large count
		v = math.Nextafter(float64(left+1), math.Inf(-1))
	}
	return v
}

// level returns the whole tokens at t and the fraction of one over them, in P-ths.
func (b Bucket) level(r Rate, t int64) (left, frac int64) {
	if b.FullAt < t {
		return r.Burst, 0
	}
	d, rem, left := b.FullAt-t, b.Rem, r.Burst
	if us, m := span(r, r.Burst); us < d || us == d && m < rem {
		d, rem, left = d-us, rem-m, 0
		if rem < 0 {
			d, rem = d-1, rem+r.N
		}
		// The same end as in bucket.lua, whose doubles need one.
		if far := 9_000_000_000_000_000 / r.N; d > far {
			d, rem = far, 0
		}
	}
	// missing = (d·N + rem) / P tokens, rounded up; in 128 bits, since d·N may need them
	p := uint64(r.micros())
	hi, lo := bits.Mul64(uint64(d), uint64(r.N))
	lo, carry := bits.Add64(lo, uint64(rem), 0)
	q, over := bits.Div64(hi+carry, lo, p)
	if over == 0 {
		return left - int64(q), 0
	}
	return left - int64(q) - 1, int64(p - over)
}

// Take takes c tokens at t, all or nothing. It returns the whole tokens left, and how
// long after t the c tokens are there: 0 when granted, -1 for never.
func (b *Bucket) Take(r Rate, t, c int64) (granted bool, left, wait int64) {
	at := b.At(r, c)
	switch {
	case at == Never:
		return false, b.Left(r, t), -1
	case at > t:
		return false, b.Left(r, t), at - t
	}
	b.Debit(r, t, c)
	return true, b.Left(r, t), 0
}

// Change carries the bucket from rate old to rate new at t. It accrues at the old rate
// up to t and keeps its whole tokens, at most the new capacity: no token appears
// retroactively, none is owed. Tokens that were taken ahead of t are let pass first, at
// the old rate. Change returns the instant from which the new rate holds; if that is
// later than t, the bucket holds nothing before it.
func (b *Bucket) Change(old, new Rate, t int64) (at int64) {
	left := int64(0)
	if at = b.At(old, 0); at <= t {
		at = t
		left = min(b.Left(old, t), new.Burst)
	}
	us, rem := span(new, new.Burst-left)
	b.FullAt, b.Rem = at+us, rem
	return at
}
