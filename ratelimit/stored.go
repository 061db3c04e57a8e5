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
			_, _ = fmt.Sscanf(text, "%d %d", &b.Each[i].FullAt, &b.Each[i].Rem) // absent is full
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
		if n, _ := fmt.Sscanf(text, "%d %d %d", &r.N, &us, &r.Burst); n == 3 {
			r.Period = time.Duration(us) * time.Microsecond
			rs = append(rs, r)
		}
	}
	return rs
}

// Stored writes rates as [ReadRates] reads them.
func (rs Rates) Stored() string {
	text := make([]string, len(rs))
	for i, r := range rs {
		text[i] = fmt.Sprintf("%d %d %d", r.N, r.micros(), r.Burst)
	}
	return strings.Join(text, ",")
}
