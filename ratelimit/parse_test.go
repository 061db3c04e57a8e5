package ratelimit_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	. "github.com/throttlerd/throttlerd/ratelimit"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want Rate
		text string // canonical
	}{
		{"10/60s", Rate{10, time.Minute, 1}, "10/1m"},
		{"10/s", Rate{10, time.Second, 1}, "10/1s"},
		{"10/60s:5", Rate{10, time.Minute, 5}, "10/1m:5"},
		{"10/1s:1", Rate{10, time.Second, 1}, "10/1s"},
		{"5000/h:50", Rate{5000, time.Hour, 50}, "5000/1h:50"},
		{"1/24h", Rate{1, day, 1}, "1/1d"},
		{"3/ms", Rate{3, time.Millisecond, 1}, "3/1ms"},
		{"1/366d:9", Rate{1, 366 * day, 9}, "1/366d:9"},
		{"1/31622400000ms", Rate{1, 366 * day, 1}, "1/366d"},
		{"1000000000/1ms:9007199", Rate{1e9, time.Millisecond, 9007199}, "1000000000/1ms:9007199"},
		{"9007199/1s:1000000000", Rate{9007199, time.Second, 1e9}, "9007199/1s:1000000000"},
	} {
		got, err := Parse(tt.in)
		if err != nil || got != tt.want || got.String() != tt.text {
			t.Errorf("Parse(%q) = %v, %v; want %v", tt.in, got, err, tt.text)
		}
	}
}

func TestParseRejects(t *testing.T) {
	const (
		form   = `write N/PERIOD[:BURST], for example 10/1m:5`
		digits = ` must be a whole number in the digits 0 to 9, without sign or space`
		oneOf  = ` must be one of ms, s, m, h, d`
	)
	for _, tt := range []struct {
		in     string
		offset int
		part   string
		reason string
	}{
		{"", 0, "rate", `no "/"; ` + form},
		{"10", 0, "rate", `no "/"; ` + form},
		{"unlimited", 0, "rate", `no "/"; ` + form},
		{"/1s", 0, "count", `count is missing; ` + form},
		{"0/1s", 0, "count", `count "0" must be 1 to 1000000000`},
		{"00/1s", 0, "count", `count "00" is zero; it must be 1 or more`},
		{"010/1s", 0, "count", `count "010" has a leading zero; write "10"`},
		{"1000000001/1s", 0, "count", `count "1000000001" must be 1 to 1000000000`},
		{"99999999999999999999/1s", 0, "count", `count "99999999999999999999" must be 1 to 1000000000`},
		{"-1/1s", 0, "count", `count "-1"` + digits},
		{"+1/1s", 0, "count", `count "+1"` + digits},
		{" 1/1s", 0, "count", `count " 1"` + digits},
		{"1 /1s", 0, "count", `count "1 "` + digits},
		{"1.5/1s", 0, "count", `count "1.5"` + digits},
		{"1e3/1s", 0, "count", `count "1e3"` + digits},
		{"1_000/1s", 0, "count", `count "1_000"` + digits},
		{"0x10/1s", 0, "count", `count "0x10"` + digits},
		{"١٠/1s", 0, "count", `count "١٠"` + digits},
		{"\xff/1s", 0, "count", `count "\xff"` + digits},
		{"10:5/1s", 0, "count", `count "10:5"` + digits},
		{"10/", 3, "period", `period is missing; ` + form},
		{"10/:5", 3, "period", `period is missing; ` + form},
		{"10/60", 5, "unit", `period "60" has no unit; add one of ms, s, m, h, d`},
		{"10/60S", 5, "unit", `unit "S"` + oneOf},
		{"10/S", 3, "unit", `unit "S"` + oneOf},
		{"10/1sec", 4, "unit", `unit "sec"` + oneOf},
		{"10/1us", 4, "unit", `unit "us"` + oneOf},
		{"10/1µs", 4, "unit", `unit "µs"` + oneOf},
		{"10/1h30m", 4, "unit", `unit "h30m"` + oneOf},
		{"10/60s ", 5, "unit", `unit "s "` + oneOf},
		{"10/1s/2", 4, "unit", `unit "s/2"` + oneOf},
		{"10/ 60s", 3, "period", `period " 60"` + digits},
		{"10/60 s", 3, "period", `period "60 "` + digits},
		{"10/-5s", 3, "period", `period "-5"` + digits},
		{"10/1.5s", 3, "period", `period "1.5"` + digits},
		{"10/٦s", 3, "period", `period "٦"` + digits},
		{"10/0s", 3, "period", `period "0s" must be 1s to 366d`},
		{"10/00s", 3, "period", `period "00" is zero; it must be 1 or more`},
		{"10/060s", 3, "period", `period "060" has a leading zero; write "60"`},
		{"10/367d", 3, "period", `period "367d" must be 1d to 366d`},
		{"10/8785h", 3, "period", `period "8785h" must be 1h to 366d`},
		{"10/31622400001ms", 3, "period", `period "31622400001ms" must be 1ms to 366d`},
		{"10/99999999999999999999d", 3, "period", `period "99999999999999999999d" must be 1d to 366d`},
		{"10/1s:", 6, "burst", `burst is missing; ` + form},
		{"10/1s:0", 6, "burst", `burst "0" must be 1 to 1000000000`},
		{"10/1s:05", 6, "burst", `burst "05" has a leading zero; write "5"`},
		{"10/1s:-5", 6, "burst", `burst "-5"` + digits},
		{"10/1s: 5", 6, "burst", `burst " 5"` + digits},
		{"10/1s:5\n", 6, "burst", `burst "5\n"` + digits},
		{"10/1s:5:6", 6, "burst", `burst "5:6"` + digits},
		{"10/1s:1000000001", 6, "burst", `burst "1000000001" must be 1 to 1000000000`},
		{"1000000000/1s:9007200", 14, "burst", `burst 9007200 times count 1000000000 must be below 2^53; the burst may be at most 9007199`},
		{"1/366d:10", 7, "burst", `a bucket of 10 must fill within 3650d at 1/366d; the burst may be at most 9`},
	} {
		got, err := Parse(tt.in)
		var pe *ParseError
		if !errors.As(err, &pe) {
			t.Errorf("Parse(%q) = %v, %v; want a *ParseError", tt.in, got, err)
			continue
		}
		want := &ParseError{Input: tt.in, Offset: tt.offset, Part: tt.part, Reason: tt.reason}
		if d := cmp.Diff(want, pe); d != "" || got != (Rate{}) {
			t.Errorf("Parse(%q) = %v (-want +got):\n%s", tt.in, got, d)
		}
	}
}

func TestParseErrorText(t *testing.T) {
	_, err := Parse("10/60S")
	if got, want := err.Error(), `rate "10/60S": unit "S" must be one of ms, s, m, h, d`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if _, err = Parse(strings.Repeat("9", 1e6)); len(err.Error()) > 200 {
		t.Errorf("a long rate makes an error of %d bytes", len(err.Error()))
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"10/60s", "10/s", "10/60s:5", "1/366d:9", "1000000000/1ms:9007199", "1/31622400000ms",
		"", "/", ":", "10/60S", "010/1s", "1/00s", "10/1s:5:6", "١/1s", "1/1µs", "\xff/\xff:\xff",
		"99999999999999999999/99999999999999999999d:99999999999999999999",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := Parse(s)
		if err != nil {
			var pe *ParseError
			if !errors.As(err, &pe) || pe.Reason == "" || pe.Offset < 0 || pe.Offset > len(s) || r != (Rate{}) {
				t.Fatalf("Parse(%q) = %v, %#v", s, r, err)
			}
			return
		}
		if err := r.Validate(); err != nil {
			t.Fatalf("Parse(%q) = %v, which is not valid: %v", s, r, err)
		}
		again, err := Parse(r.String())
		if err != nil || again != r || again.String() != r.String() {
			t.Fatalf("Parse(%q) = %v, and of that %v, %v", s, r, again, err)
		}
		if strings.ContainsFunc(s, func(c rune) bool { return !strings.ContainsRune("0123456789/:msdh", c) }) {
			t.Fatalf("Parse(%q) accepts a character outside of the grammar", s)
		}
	})
}
