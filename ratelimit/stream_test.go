package ratelimit_test

import (
	"fmt"
	"math/big"
	"time"

	. "github.com/throttlerd/throttlerd/ratelimit"
	"pgregory.net/rapid"
)

// epoch0 is a present instant, µs: a bucket must be exact with the digits that has.
const epoch0 = int64(1_790_000_000_123_457)

// extremes are rates at the ends of the ranges.
var extremes = []Rate{
	{1e9, time.Millisecond, 9007199}, // N·B just below 2^53
	{1e9, time.Millisecond, 1},
	{1e9, 366 * day, 9007199},
	{1e9, 366 * day, 1},
	{999_999_937, 366*day - time.Millisecond, 9007199}, // a prime N
	{999_999_937, 999 * time.Millisecond, 9007199},     // P < N
	{1e9 - 1, 999_999 * time.Millisecond, 9007199},     // P just below N
	{9007199, time.Millisecond, 1e9},
	{9007199, 2838 * time.Second, 1e9},
	{9007199, 33 * day, 95_000},
	{1, 366 * day, 9},
	{1, time.Millisecond, 1e9},
	{3, time.Second, 943_000_000},       // fills in nearly 10 years
	{1, 315360 * time.Second, 1000},     // in 10 years sharp
	{7, 366*day - time.Millisecond, 69}, // in nearly 10 years
}

// ordinary are rates as people write them.
var ordinary = []Rate{
	{10, time.Minute, 1}, {10, time.Second, 5}, {7, time.Hour, 1}, {30000, time.Second, 1}, {30000, time.Second, 64},
	{1, time.Hour, 100}, {1000, time.Millisecond, 3}, {5000, time.Hour, 50}, {3, time.Second, 7}, {1, day, 1},
}

// anyRate draws ordinary rates, extreme ones, and any in range, evenly over the
// magnitudes.
func anyRate() *rapid.Generator[Rate] {
	return rapid.Custom(func(t *rapid.T) Rate {
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			return rapid.SampledFrom(ordinary).Draw(t, "rate")
		case 1:
			return rapid.SampledFrom(extremes).Draw(t, "rate")
		}
		n := magnitude(t, "N", MaxCount)
		period := time.Duration(magnitude(t, "ms", int64(MaxPeriod/time.Millisecond))) * time.Millisecond
		fill := new(big.Int).Mul(big.NewInt(int64(MaxFill)), big.NewInt(n))
		fill.Quo(fill, big.NewInt(int64(period)))
		most := min(int64(MaxCount), (1<<53-1)/n)
		if fill.IsInt64() {
			most = min(most, fill.Int64())
		}
		r := Rate{n, period, magnitude(t, "B", most)}
		if err := r.Validate(); err != nil {
			t.Fatal(err)
		}
		return r
	})
}

// magnitude draws from 1 to most, each power of two as likely as the next, and the end.
func magnitude(t *rapid.T, label string, most int64) int64 {
	bits := big.NewInt(most).BitLen()
	v := rapid.Int64Range(1, 1<<rapid.IntRange(0, bits).Draw(t, label+" bits")).Draw(t, label)
	return min(v, most)
}

// op is one step of a stream, at t.
type op struct {
	verb verb
	t, c int64
	rate Rate // to change to
}

// GoString keeps what rapid prints of a stream readable.
func (o op) GoString() string {
	return fmt.Sprintf("\n\t%s %d at %+d %v", [...]string{"take", "reserve", "change", "look"}[o.verb], o.c, o.t-epoch0, o.rate)
}

type verb int

const (
	take    verb = iota // c tokens at t, all or nothing
	reserve             // c tokens as soon as they are there, t or later
	change              // to rate, at t
	look                // when will c tokens be there, how many are there at t
)

// stream draws steps; takes may ask for more than there is, and the clock may step back
// unless forward is set. It plays along, to draw the instants that are hard to get right.
func stream(r Rate, steps int, forward bool) *rapid.Generator[[]op] {
	return rapid.Custom(func(t *rapid.T) []op {
		now, cur, b := epoch0, r, Bucket{}
		ops := make([]op, steps)
		for i := range ops {
			o := op{verb: rapid.SampledFrom([]verb{take, take, take, take, take, take, reserve, look, change}).Draw(t, "verb")}
			if o.verb == change {
				o.rate = anyRate().Draw(t, "new")
			} else {
				o.c = rapid.SampledFrom([]int64{1, 1, 1, 0, 2, cur.Burst / 2, cur.Burst - 1, cur.Burst}).Draw(t, "c")
				o.c = min(o.c, cur.Burst)
			}
			due := b.At(cur, o.c)
			gaps := []int64{0, 1, due - now, due - now - 1, due - now + 1, -1, -2}
			switch d := rapid.SampledFrom(gaps).Draw(t, "gap"); {
			case d == -1:
				now += magnitude(t, "jump", 1<<48)
			case d == -2 && !forward:
				now -= magnitude(t, "back", 1<<44)
			case d > 0 || !forward:
				now += d
			}
			now = min(max(now, 1), 1<<52)
			o.t = now
			if o.verb == reserve && due > now+50_000 && rapid.IntRange(0, 9).Draw(t, "far ahead") != 9 {
				o.verb = take // beyond the horizon nothing is reserved, mostly
			}
			if o.verb == take && rapid.IntRange(0, 30).Draw(t, "too many") == 30 {
				o.c = cur.Burst + 1
			}
			ops[i] = o
			play(cur, &b, ops[i:i+1], func(Grant) {}, func(e Epoch) { cur = e.Rate })
		}
		return ops
	})
}

// answer is what a step left behind and said.
type answer struct {
	F, R       int64
	Said, Left int64
}

// play drives the Go model. Every grant is reported, at its instant.
func play(r Rate, b *Bucket, ops []op, granted func(Grant), changed func(Epoch)) []answer {
	out := make([]answer, len(ops))
	for i, o := range ops {
		var said, left int64
		switch o.verb {
		case take:
			var ok bool
			if ok, left, said = b.Take(r, o.t, o.c); ok {
				granted(Grant{o.t, o.c})
			}
		case reserve:
			said = max(b.At(r, o.c), o.t)
			b.Debit(r, said, o.c)
			left = b.Left(r, o.t)
			granted(Grant{said, o.c})
		case change:
			said = b.Change(r, o.rate, o.t)
			r = o.rate
			left = b.Left(r, o.t)
			changed(Epoch{said, r})
		case look:
			said, left = b.At(r, o.c), b.Left(r, o.t)
		}
		out[i] = answer{b.FullAt, b.Rem, said, left}
	}
	return out
}
