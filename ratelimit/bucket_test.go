package ratelimit_test

import (
	"math"
	"math/big"
	"testing"
	"time"

	. "github.com/throttlerd/throttlerd/ratelimit"
	"pgregory.net/rapid"
)

func TestBucketTake(t *testing.T) {
	const ms = int64(1000)
	r := Rate{10, time.Second, 3}
	var b Bucket
	for i, s := range []struct {
		at, n   int64
		granted bool
		left    int64
		wait    int64
	}{
		{at: 0, n: 0, granted: true, left: 3}, // a look costs nothing
		{at: 0, n: 4, left: 3, wait: -1},      // never
		{at: 0, n: 2, granted: true, left: 1},
		{at: 0, n: 2, left: 1, wait: 100 * ms}, // all or nothing
		{at: 99 * ms, n: 2, left: 1, wait: ms},
		{at: 100 * ms, n: 2, granted: true, left: 0},
		{at: 50 * ms, n: 1, left: -1, wait: 150 * ms},           // an earlier instant: one more was taken ahead of it
		{at: 3600_000 * ms, n: 3, granted: true, left: 0},       // never above the burst
		{at: 3600_100*ms - 1, n: 1, left: 0, wait: 1},           // to the microsecond
		{at: 3600_100 * ms, n: 1, granted: true, left: 0},       //
		{at: 3600_300 * ms, n: 3, left: 2, wait: 100 * ms},      //
		{at: 3600_400 * ms, n: 1, granted: true, left: 2},       // full just now
		{at: 9_000_000_000 * ms, n: 3, granted: true, left: 0},  //
		{at: 9_000_000_000 * ms, n: 1, left: 0, wait: 100 * ms}, //
	} {
		granted, left, wait := b.Take(r, s.at, s.n)
		if granted != s.granted || left != s.left || wait != s.wait {
			t.Errorf("step %d: take %d at %d: %v, left %d, wait %d; want %v, %d, %d",
				i, s.n, s.at, granted, left, wait, s.granted, s.left, s.wait)
		}
	}
}

func TestBucketChange(t *testing.T) {
	for _, tt := range []struct {
		name     string
		old, new Rate
		taken    int64 // at epoch0
		after    int64 // µs from there to the change
		at, left int64 // from epoch0, at the change
	}{
		{"never used: full, at most the new capacity", Rate{1, time.Second, 5}, Rate{1, time.Second, 3}, 0, 0, 0, 3},
		{"a larger capacity fills from what there was", Rate{1, time.Second, 5}, Rate{1, time.Second, 10}, 0, 0, 0, 5},
		{"accrued at the old rate up to the change", Rate{1, time.Second, 5}, Rate{100, time.Second, 5}, 5, 2e6, 2e6, 2},
		{"the fraction is rounded down", Rate{1, time.Second, 5}, Rate{100, time.Second, 5}, 5, 3e6 - 1, 3e6 - 1, 2},
		{"a slow limit does not hold up the fast one after it", Rate{1, time.Hour, 1}, Rate{100, time.Second, 1}, 1, 1, 1, 0},
		{"taken ahead: later, and nothing before", Rate{1, time.Second, 1}, Rate{1000, time.Second, 9}, 3, 0, 2e6, 0},
	} {
		var b Bucket
		for range tt.taken {
			b.Debit(tt.old, max(b.At(tt.old, 1), epoch0), 1)
		}
		at := b.Change(tt.old, tt.new, epoch0+tt.after)
		if left := b.Left(tt.new, at); at-epoch0 != tt.at || left != tt.left {
			t.Errorf("%s: at %d with %d left, want %d with %d", tt.name, at-epoch0, left, tt.at, tt.left)
		}
	}
}

// More than a token each microsecond accrues within the microsecond of a change. None of
// that may be there before it.
func TestBucketChangeAheadHoldsNothingBefore(t *testing.T) {
	fast, slow := Rate{999_999, time.Millisecond, 1e6}, Rate{1, time.Hour, 1000}
	var b Bucket
	b.Debit(fast, epoch0, 1e6)
	b.Debit(fast, b.At(fast, 777_777), 777_777)
	at := b.Change(fast, slow, epoch0)
	if at <= epoch0 || b.Left(slow, at) != 0 || b.At(slow, 1) <= at {
		t.Errorf("changed at %d with %d left, the next at %d", at-epoch0, b.Left(slow, at), b.At(slow, 1)-epoch0)
	}
}

// A saturated bucket grants its k-th token at exactly ⌈k·P/N⌉, for as long as it runs. A
// capacity that fills up within a microsecond cannot save the rest of one, and the bound
// forbids what is denser: its gaps are ⌈P/N⌉ (or, above a token each µs, its grants are B).
func TestBucketDoesNotDrift(t *testing.T) {
	for _, r := range append(append([]Rate{}, ordinary...), extremes...) {
		p, n := big.NewInt(r.Period.Microseconds()), big.NewInt(r.N)
		saves := (r.Burst-1)*r.Period.Microseconds() >= r.N || r.Period.Microseconds()%r.N == 0
		var b Bucket
		b.Debit(r, epoch0, r.Burst)
		grants := []Grant{{epoch0, r.Burst}}
		for k := int64(1); k <= 50_000; k++ {
			at := b.At(r, 1)
			want := new(big.Int).Mul(big.NewInt(k), p)
			want.Add(want, n).Sub(want, big.NewInt(1)).Quo(want, n)
			if saves && at != epoch0+want.Int64() {
				t.Fatalf("%v: grant %d at %d, want %v", r, k, at-epoch0, want)
			}
			// and not a microsecond sooner
			if granted, _, wait := b.Take(r, at-1, 1); granted || wait != 1 {
				t.Fatalf("%v: grant %d came early", r, k)
			}
			at = max(at, grants[len(grants)-1].At)
			b.Debit(r, at, 1)
			grants = append(grants, Grant{at, 1})
		}
		if err := Check(r, grants); err != nil {
			t.Errorf("%v: %v", r, err)
		}
		if saves {
			continue
		}
		// as dense as it may be: any grant a microsecond sooner breaks the bound
		for _, k := range []int{1, 2, 1000, 50_000} {
			if grants[k].At == grants[k-1].At {
				continue
			}
			early := append([]Grant{}, grants[:k+1]...)
			early[k].At--
			if Check(r, early) == nil {
				t.Errorf("%v: grant %d could have come sooner", r, k)
			}
		}
	}
}

// level is a token bucket as the textbook has it: a level that accrues, in rationals.
type level struct {
	rate Rate
	at   int64
	n    *big.Rat
}

func (l *level) accrue(t int64) {
	x := big.NewRat(l.rate.N, l.rate.Period.Microseconds())
	l.n.Add(l.n, x.Mul(x, new(big.Rat).SetInt64(t-l.at)))
	l.at = t
	l.cap(l.rate.Burst)
}

func (l *level) cap(burst int64) {
	if top := new(big.Rat).SetInt64(burst); l.n.Cmp(top) > 0 {
		l.n = top
	}
}

func (l *level) floor() *big.Int {
	return new(big.Int).Div(l.n.Num(), l.n.Denom())
}

func TestBucketIsATokenBucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := anyRate().Draw(t, "rate")
		var b Bucket
		l := &level{r, epoch0, new(big.Rat).SetInt64(r.Burst)}
		for _, o := range stream(r, 60, true).Draw(t, "ops") {
			l.accrue(o.t)
			switch o.verb {
			case change:
				b.Change(r, o.rate, o.t)
				l.n = new(big.Rat).SetInt(l.floor())
				l.rate, r = o.rate, o.rate
				l.cap(r.Burst)
			default:
				want := l.floor().Int64() >= o.c
				if got, _, _ := b.Take(r, o.t, o.c); got != want {
					t.Fatalf("%v: take %d at %d: %v, textbook %v", r, o.c, o.t, got, want)
				}
				if want {
					l.n.Sub(l.n, new(big.Rat).SetInt64(o.c))
				}
			}
			if got, want := b.Left(r, o.t), l.floor().Int64(); got != want {
				t.Fatalf("%v: %d left at %d, textbook %d", r, got, o.t, want)
			}
			exact, _ := l.n.Float64()
			if got := b.Tokens(r, o.t); math.Abs(got-exact) > 1e-6 || int64(math.Floor(got)) != b.Left(r, o.t) {
				t.Fatalf("%v: %v tokens at %d, textbook %v", r, got, o.t, exact)
			}
			next := min(b.Left(r, o.t)+1, r.Burst)
			at := b.At(r, next)
			if at > o.t && (b.Left(r, at) < next || b.Left(r, at-1) >= next) {
				t.Fatalf("%v: %d tokens are not there at %d, or sooner", r, next, at)
			}
		}
	})
}

// The promise itself: random takes, reservations and changes, every window.
func TestBucketKeepsTheBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := anyRate().Draw(t, "rate")
		epochs := []Epoch{{0, r}}
		var grants []Grant
		var b Bucket
		play(r, &b, stream(r, 150, true).Draw(t, "ops"),
			func(g Grant) { grants = append(grants, g) },
			func(e Epoch) { epochs = append(epochs, e) })
		if err := CheckEpochs(epochs, 0, grants); err != nil {
			t.Fatal(err)
		}
	})
}

func TestBucketCorners(t *testing.T) {
	for _, r := range extremes {
		var b Bucket
		if b.Left(r, 0) != r.Burst || b.At(r, r.Burst) > 0 {
			t.Errorf("%v: not full at instant 0", r)
		}
		if b.At(r, r.Burst+1) != Never {
			t.Errorf("%v: has more than its capacity some time", r)
		}
		b.Debit(r, epoch0, r.Burst)
		if left := b.Left(r, epoch0); left != 0 {
			t.Errorf("%v: %d left of none", r, left)
		}
		if left := b.Left(r, 0); left >= 0 { // a clock gone back to its beginning
			t.Errorf("%v: %d left long before", r, left)
		}
		if left := b.Left(r, 1<<53); left != r.Burst {
			t.Errorf("%v: %d left at the end of time", r, left)
		}
	}
}

func BenchmarkBucketTake(b *testing.B) {
	r := Rate{30000, time.Second, 64}
	var bucket Bucket
	t := epoch0
	b.ReportAllocs()
	for b.Loop() {
		t += 20
		bucket.Take(r, t, 1)
	}
}
