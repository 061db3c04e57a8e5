package ratelimit

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// The ranges of a [Rate].
const (
	MaxCount  = 1_000_000_000         // of N, of B, and of what one take may cost
	MaxPeriod = 366 * 24 * time.Hour  // of P
	MaxFill   = 3650 * 24 * time.Hour // of B·P/N, the time an empty bucket takes to fill

	// maxProduct bounds N·B, so that the Lua model's doubles hold every integer it forms.
	maxProduct = 1<<53 - 1
)

// Rate is N tokens each Period, of which a bucket saves up at most Burst. The zero
// value is no rate at all, and limits nothing; every other use of a Rate that
// [Rate.Validate] refuses is undefined. Rates may be compared with ==, but 10/1s and
// 20/2s differ.
type Rate struct {
	N      int64         // tokens each Period, 1 to MaxCount
	Period time.Duration // whole milliseconds, to MaxPeriod
	Burst  int64         // capacity of the bucket, 1 to MaxCount
}

var units = []struct {
	name string
	size time.Duration
}{
	{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond},
}

// IsZero reports whether r is no rate at all.
func (r Rate) IsZero() bool { return r == Rate{} }

// String returns the canonical spelling, N/PERIOD[:BURST]: the period in the largest
// unit that is exact, a burst of 1 left out, N not reduced. [Parse] of it is r again.
// The zero Rate is "unlimited", which Parse refuses, since no rate is not a rate.
func (r Rate) String() string {
	if r.IsZero() {
		return "unlimited"
	}
	var b strings.Builder
	b.WriteString(strconv.FormatInt(r.N, 10))
	b.WriteByte('/')
	b.WriteString(periodString(r.Period))
	if r.Burst != 1 {
		b.WriteByte(':')
		b.WriteString(strconv.FormatInt(r.Burst, 10))
	}
	return b.String()
}

func periodString(p time.Duration) string {
	for _, u := range units {
		if p >= u.size && p%u.size == 0 {
			return strconv.FormatInt(int64(p/u.size), 10) + u.name
		}
	}
	return p.String() // out of range; only an error message shows it
}

// Validate reports whether r is a rate that a bucket keeps exactly. Its error is a
// [*ParseError] without an offset. The zero Rate is an error here: who allows it asks
// [Rate.IsZero] first.
func (r Rate) Validate() error {
	fail := func(part, format string, args ...any) error {
		return &ParseError{Input: r.String(), Offset: -1, Part: part, Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case r.N < 1 || r.N > MaxCount:
		return fail("count", "count %d must be 1 to %d", r.N, MaxCount)
	case r.Period < time.Millisecond || r.Period%time.Millisecond != 0:
		return fail("period", "period %v must be whole milliseconds, 1ms or more", r.Period)
	case r.Period > MaxPeriod:
		return fail("period", "period %q must be at most %s", periodString(r.Period), periodString(MaxPeriod))
	case r.Burst < 1 || r.Burst > MaxCount:
		return fail("burst", "burst %d must be 1 to %d", r.Burst, MaxCount)
	}
	if most := maxProduct / r.N; r.Burst > most {
		return fail("burst", "burst %d times count %d must be below 2^53; the burst may be at most %d", r.Burst, r.N, most)
	}
	if most := r.fillable(); r.Burst > most {
		return fail("burst", "a bucket of %d must fill within %s at %d/%s; the burst may be at most %d",
			r.Burst, periodString(MaxFill), r.N, periodString(r.Period), most)
	}
	return nil
}

// fillable is the largest burst, to MaxCount, that fills within MaxFill.
func (r Rate) fillable() int64 {
	hi, lo := bits.Mul64(uint64(MaxFill), uint64(r.N))
	if hi >= uint64(r.Period) {
		return MaxCount
	}
	q, _ := bits.Div64(hi, lo, uint64(r.Period))
	return int64(min(q, MaxCount))
}

// micros is the period in the unit in which buckets count.
func (r Rate) micros() int64 { return int64(r.Period / time.Microsecond) }

// MarshalText returns the canonical spelling, "unlimited" for the zero Rate.
func (r Rate) MarshalText() ([]byte, error) {
	if r.IsZero() {
		return []byte(r.String()), nil
	}
	if err := r.Validate(); err != nil {
		return nil, err
	}
	return []byte(r.String()), nil
}

// UnmarshalText accepts what [Parse] accepts, and "unlimited" for the zero Rate. On an
// error r is left as it was.
func (r *Rate) UnmarshalText(text []byte) error {
	if string(text) == (Rate{}).String() {
		*r = Rate{}
		return nil
	}
	v, err := Parse(string(text))
	if err != nil {
		return err
	}
	*r = v
	return nil
}
