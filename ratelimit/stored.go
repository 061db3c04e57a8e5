package ratelimit

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ReadBuckets reads what buckets.lua stores, each "" where it is not there: the lasting
// rates, the buckets, an override, the freeze. Bring brings them to the present.
func ReadBuckets(rates, buckets, override, frozen string) Buckets {
	b := Buckets{Rates: ReadRates(rates)}
	b.Frozen, _ = strconv.ParseInt(frozen, 10, 64) // written by scripts; absent is 0
	if until, text, ok := strings.Cut(override, " "); ok {
		b.Base, b.Rates = b.Rates, ReadRates(text)
		b.Until, _ = strconv.ParseInt(until, 10, 64)
	}
	b.Each = make([]Bucket, len(b.Rates))
	for i, text := range strings.Split(buckets, ",") {
		if i < len(b.Each) {
			readNumbers(text, &b.Each[i].FullAt, &b.Each[i].Rem) // absent is full
		}
	}
	return b
}

// ReadRates reads rates as scripts have them: "N P B" with commas between, P in µs.
func ReadRates(s string) Rates {
	var rs Rates
	for text := range strings.SplitSeq(s, ",") {
		var r Rate
		var us int64
		if readNumbers(text, &r.N, &us, &r.Burst) {
			r.Period = time.Duration(us) * time.Microsecond
			rs = append(rs, r)
		}
	}
	return rs
}

// readNumbers reads as many numbers with a space between, and tells whether all were there;
// else what they are read into is left alone.
func readNumbers(s string, into ...*int64) bool {
	got := make([]int64, 0, 3)
	for range into {
		var text string
		text, s, _ = strings.Cut(s, " ")
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return false
		}
		got = append(got, n)
	}
	for i, n := range got {
		*into[i] = n
	}
	return true
}

// Stored writes rates as [ReadRates] reads them.
func (rs Rates) Stored() string {
	text := make([]string, len(rs))
	for i, r := range rs {
		text[i] = fmt.Sprintf("%d %d %d", r.N, r.micros(), r.Burst)
	}
	return strings.Join(text, ",")
}
