package ratelimit

import (
	"fmt"
	"slices"
	"strings"
)

// MaxRates is the most rates that one limit may have.
const MaxRates = 8

// Rates are the rates that one limit has at once, such as 10 a second and 300 in 15
// minutes: all of them hold. None limits nothing.
type Rates []Rate

// ParseRates parses what [Rates.String] prints: rates with a comma, and maybe blanks,
// between; "unlimited" is none.
func ParseRates(s string) (Rates, error) {
	if s == (Rate{}).String() {
		return nil, nil
	}
	var rs Rates
	for _, text := range strings.Split(s, ",") {
		r, err := Parse(strings.Trim(text, " "))
		if err != nil {
			return nil, err
		}
		rs = append(rs, r)
	}
	return rs, rs.Validate()
}

// String returns the canonical spellings, ", " between; "unlimited" for none.
func (rs Rates) String() string {
	if len(rs) == 0 {
		return (Rate{}).String()
	}
	text := make([]string, len(rs))
	for i, r := range rs {
		text[i] = r.String()
	}
	return strings.Join(text, ", ")
}

// Validate reports whether each rate is valid, none is there twice, and there are at
// most MaxRates.
func (rs Rates) Validate() error {
	if len(rs) > MaxRates {
		return fmt.Errorf("%d rates are too many; at most %d hold at once", len(rs), MaxRates)
	}
	for i, r := range rs {
		if err := r.Validate(); err != nil {
			return err
		}
		if slices.Contains(rs[:i], r) {
			return fmt.Errorf("rate %q is there twice; take one out", r.String())
		}
	}
	return nil
}

// Capacity is the least burst: the most that one task may cost. 0 without a rate.
func (rs Rates) Capacity() int64 {
	least := int64(0)
	for i, r := range rs {
		if i == 0 || r.Burst < least {
			least = r.Burst
		}
	}
	return least
}

// MarshalText returns what String does, of valid rates.
func (rs Rates) MarshalText() ([]byte, error) {
	if err := rs.Validate(); err != nil {
		return nil, err
	}
	return []byte(rs.String()), nil
}

// UnmarshalText accepts what [ParseRates] accepts.
func (rs *Rates) UnmarshalText(text []byte) error {
	v, err := ParseRates(string(text))
	if err != nil {
		return err
	}
	*rs = v
	return nil
}
