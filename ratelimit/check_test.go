package ratelimit_test

import (
	"errors"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	. "github.com/throttlerd/throttlerd/ratelimit"
	"pgregory.net/rapid"
)

func TestCheck(t *testing.T) {
	r := Rate{2, time.Millisecond, 3} // one each 500 µs, 3 at once
	for _, tt := range []struct {
		name   string
		grants []Grant
		want   string
	}{
		{"none", nil, ""},
		{"the burst at once", Grants(7, 7, 7), ""},
		{"one more than the burst", Grants(7, 7, 7, 7), "4 tokens granted in [7 µs, 7 µs] (0s), where at most 3 are allowed"},
		{"the burst, then each as it comes", Grants(0, 0, 0, 500, 1000, 1500), ""},
		{"one microsecond early", Grants(0, 0, 0, 500, 999, 1500), "5 tokens granted in [0 µs, 999 µs] (999µs), where at most 4 are allowed"},
		{"in another order", Grants(1500, 0, 999, 0, 500, 0), "5 tokens granted in [0 µs, 999 µs] (999µs), where at most 4 are allowed"},
		{"saved up again", Grants(0, 0, 0, 1500, 1500, 1500), ""},
		{"a dear one", []Grant{{0, 3}, {1000, 2}}, ""},
		{"a dear one early", []Grant{{0, 3}, {999, 2}}, "5 tokens granted in [0 µs, 999 µs] (999µs), where at most 4 are allowed"},
		{"dearer than the capacity", []Grant{{0, 4}}, "4 tokens granted in [0 µs, 0 µs] (0s), where at most 3 are allowed"},
		{"the worst is told", Grants(0, 0, 0, 0, 9000, 9000, 9000, 9000, 9000), "5 tokens granted in [9000 µs, 9000 µs] (0s), where at most 3 are allowed"},
	} {
		got := ""
		if err := Check(r, tt.grants); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	r := Rate{1, time.Second, 1}
	for want, err := range map[string]error{
		"no epoch":             CheckEpochs(nil, 0, nil),
		"count 0":              Check(Rate{}, nil),
		"must not be negative": CheckLate(r, -1, nil),
		"negative cost":        Check(r, []Grant{{0, -1}}),
		"before the one":       CheckEpochs([]Epoch{{5, r}, {4, r}}, 0, nil),
	} {
		var v *ViolationError
		if err == nil || !strings.Contains(err.Error(), want) || errors.As(err, &v) {
			t.Errorf("%v, want an error with %q that is no violation", err, want)
		}
	}
}

// violated looks at every window, in rationals.
func violated(epochs []Epoch, late int64, grants []Grant) bool {
	accrued := func(from, to int64) *big.Rat {
		sum := new(big.Rat)
		for i, e := range epochs {
			a, b := from, to
			if i > 0 {
				a = max(a, e.From)
			}
			if i+1 < len(epochs) {
				b = min(b, epochs[i+1].From)
			}
			if a < b {
				x := new(big.Rat).SetFrac(big.NewInt(e.Rate.N), big.NewInt(e.Rate.Period.Microseconds()))
				sum.Add(sum, x.Mul(x, new(big.Rat).SetInt64(b-a)))
			}
		}
		return sum
	}
	for _, a := range grants {
		capacity := epochs[0].Rate.Burst
		for _, e := range epochs[1:] {
			if e.From < a.At-late {
				capacity = e.Rate.Burst
			}
		}
		for _, b := range grants {
			if b.At < a.At {
				continue
			}
			taken := int64(0)
			for _, g := range grants {
				if a.At <= g.At && g.At <= b.At {
					taken += g.Cost
				}
			}
			allowed := accrued(a.At-late, b.At)
			allowed.Add(allowed, new(big.Rat).SetInt64(capacity))
			if new(big.Rat).SetInt64(taken).Cmp(allowed) > 0 {
				return true
			}
		}
	}
	return false
}

func TestCheckAgreesWithBruteForce(t *testing.T) {
	seen := map[bool]int{}
	rapid.Check(t, func(t *rapid.T) {
		small := rapid.Custom(func(t *rapid.T) Rate {
			return Rate{rapid.Int64Range(1, 7).Draw(t, "N"), time.Duration(rapid.IntRange(1, 3).Draw(t, "ms")) * time.Millisecond, rapid.Int64Range(1, 5).Draw(t, "B")}
		})
		epochs := []Epoch{{0, small.Draw(t, "rate")}}
		for range rapid.IntRange(0, 3).Draw(t, "changes") {
			from := epochs[len(epochs)-1].From + rapid.Int64Range(0, 3000).Draw(t, "after")
			epochs = append(epochs, Epoch{from, small.Draw(t, "rate")})
		}
		late := rapid.SampledFrom([]int64{0, 0, 1, 300}).Draw(t, "late")
		var grants []Grant
		at := int64(0)
		for range rapid.IntRange(0, 14).Draw(t, "grants") {
			at += rapid.SampledFrom([]int64{0, 142, 143, 500, 501, 999, 1000, 2000}).Draw(t, "gap")
			grants = append(grants, Grant{at, rapid.Int64Range(0, 2).Draw(t, "cost")})
		}

		want := violated(epochs, late, grants)
		err := CheckEpochs(epochs, time.Duration(late)*time.Microsecond, grants)
		var v *ViolationError
		if errors.As(err, &v) != want {
			t.Fatalf("%v, brute force finds a violation: %v", err, want)
		}
		if want && v.Taken <= v.Allowed {
			t.Fatalf("not a violation: %v", v)
		}
		seen[want]++
	})
	if seen[true] == 0 || seen[false] == 0 {
		t.Errorf("one-sided: %v", seen)
	}
}

func TestCheckLate(t *testing.T) {
	r := Rate{1, time.Second, 1}
	starts := Grants(0, 1_000_250, 2_000_000, 3_000_000) // the second was 250 µs late
	if err := CheckLate(r, 250*time.Microsecond, starts); err != nil {
		t.Error(err)
	}
	if err := CheckLate(r, 249*time.Microsecond, starts); err == nil {
		t.Error("250 µs late passed as 249 µs")
	}
}

func TestCheckLongStream(t *testing.T) {
	// A century of microseconds times N leaves 64 bits many times over.
	r := Rate{1e9, time.Millisecond, 1000}
	var grants []Grant
	for i := range int64(50_000) {
		grants = append(grants, Grant{i * 60_000_000_000, 1000})
	}
	if err := Check(r, grants); err != nil {
		t.Error(err)
	}
	last := len(grants) - 1
	grants[last] = Grant{grants[last-1].At, 1}
	if err := Check(r, grants); err == nil {
		t.Error("one token too many after a century was not found")
	}
}

func BenchmarkCheck(b *testing.B) {
	r := Rate{1000, time.Second, 5}
	grants := make([]Grant, 1_000_000)
	at := int64(1_790_000_000_000_000)
	for i := range grants {
		at += 900 + rand.Int64N(200)
		grants[i] = Grant{at, 1}
	}
	for b.Loop() {
		_ = Check(r, grants)
	}
}
