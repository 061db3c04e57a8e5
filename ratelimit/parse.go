package ratelimit

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
)

const form = "N/PERIOD[:BURST], for example 10/1m:5"

// ParseError is the one thing first found wrong with a rate.
type ParseError struct {
	Input  string // the whole rate as given
	Offset int    // of the part in Input, in bytes; -1 for a Rate that was not parsed
	Part   string // "rate", "count", "period", "unit" or "burst"
	Reason string // what is wrong with it and what would be right
}

func (e *ParseError) Error() string {
	in := e.Input
	if len(in) > 64 {
		in = in[:61] + "..."
	}
	return fmt.Sprintf("rate %q: %s", in, e.Reason)
}

// Parse reads a rate, N/[M]UNIT[:B]: N tokens each M units (1 if left out), capacity B
// (1 if left out). Units are ms, s, m, h and d. Numbers are ASCII digits, without sign,
// space or leading zero; units are in lower case. N and B are 1 to MaxCount, the period
// is at most MaxPeriod, N·B stays below 2^53 and B·P/N within MaxFill. Every error is
// a [*ParseError].
func Parse(s string) (Rate, error) {
	p := parser{in: s}
	count, rest, ok := strings.Cut(s, "/")
	if !ok {
		return Rate{}, p.fail("rate", 0, "no %q; write %s", "/", form)
	}
	n, err := p.number("count", count, 0, MaxCount)
	if err != nil {
		return Rate{}, err
	}
	at := len(count) + 1
	text, burst, hasBurst := strings.Cut(rest, ":")
	period, err := p.period(text, at)
	if err != nil {
		return Rate{}, err
	}
	at += len(text) + 1
	b := int64(1)
	if hasBurst {
		if b, err = p.number("burst", burst, at, MaxCount); err != nil {
			return Rate{}, err
		}
	}
	r := Rate{N: n, Period: period, Burst: b}
	if err := r.Validate(); err != nil {
		// Only how the parts go together is left to be wrong: it is the burst's.
		var pe *ParseError
		if errors.As(err, &pe) {
			pe.Input, pe.Offset = s, at
		}
		return Rate{}, err
	}
	return r, nil
}

type parser struct{ in string }

func (p parser) fail(part string, offset int, format string, args ...any) error {
	return &ParseError{Input: p.in, Offset: offset, Part: part, Reason: fmt.Sprintf(format, args...)}
}

// period reads [M]UNIT.
func (p parser) period(text string, at int) (time.Duration, error) {
	cut := strings.IndexFunc(text, unicode.IsLetter)
	if cut < 0 {
		cut = len(text)
	}
	count, unit := text[:cut], text[cut:]
	if text == "" {
		return 0, p.fail("period", at, "period is missing; write %s", form)
	}
	if unit == "" {
		return 0, p.fail("unit", at+cut, "period %s has no unit; add one of ms, s, m, h, d", clip(text))
	}
	var size time.Duration
	for _, u := range units {
		if u.name == unit {
			size = u.size
		}
	}
	m := int64(1)
	if count != "" {
		// Its digits are looked at before the unit, its size after: the unit decides.
		if err := p.digits("period", count, at); err != nil {
			return 0, err
		}
	}
	if size == 0 {
		return 0, p.fail("unit", at+cut, "unit %s must be one of ms, s, m, h, d", clip(unit))
	}
	if count != "" {
		var err error
		if m, err = p.number("period", count, at, int64(MaxPeriod/size)); err != nil {
			return 0, p.fail("period", at, "period %s must be 1%s to %dd", clip(text), unit, MaxPeriod/(24*time.Hour))
		}
	}
	return time.Duration(m) * size, nil
}

// number reads a whole number from 1 to most.
func (p parser) number(part, text string, at int, most int64) (int64, error) {
	if text == "" {
		return 0, p.fail(part, at, "%s is missing; write %s", part, form)
	}
	if err := p.digits(part, text, at); err != nil {
		return 0, err
	}
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil || v < 1 || v > most {
		return 0, p.fail(part, at, "%s %s must be 1 to %d", part, clip(text), most)
	}
	return v, nil
}

// digits refuses what is not spelled as a number is.
func (p parser) digits(part, text string, at int) error {
	if i := strings.IndexFunc(text, func(c rune) bool { return c < '0' || c > '9' }); i >= 0 {
		return p.fail(part, at, "%s %s must be a whole number in the digits 0 to 9, without sign or space", part, clip(text))
	}
	if bare := strings.TrimLeft(text, "0"); bare != text && bare != "" {
		return p.fail(part, at, "%s %s has a leading zero; write %s", part, clip(text), clip(bare))
	}
	if len(text) > 1 && text[0] == '0' {
		return p.fail(part, at, "%s %s is zero; it must be 1 or more", part, clip(text))
	}
	return nil
}

// clip quotes a part for a message, not more of it than helps.
func clip(s string) string {
	if len(s) > 24 {
		s = s[:21] + "..."
	}
	return strconv.Quote(s)
}
