package ratelimit_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	. "github.com/throttlerd/throttlerd/ratelimit"
)

const day = 24 * time.Hour

func TestRateString(t *testing.T) {
	for _, tt := range []struct {
		rate Rate
		want string
	}{
		{Rate{10, time.Minute, 1}, "10/1m"},
		{Rate{10, time.Second, 5}, "10/1s:5"},
		{Rate{10, 90 * time.Second, 1}, "10/90s"}, // no mixed units
		{Rate{1, 24 * time.Hour, 1}, "1/1d"},
		{Rate{1, 36 * time.Hour, 1}, "1/36h"},
		{Rate{1000, time.Millisecond, 3}, "1000/1ms:3"},
		{Rate{1, 1500 * time.Millisecond, 1}, "1/1500ms"},
		{Rate{20, 2 * time.Second, 1}, "20/2s"}, // N is not reduced
		{Rate{}, "unlimited"},
		{Rate{1, time.Microsecond, 0}, "1/1µs:0"}, // not a rate; an error shows it
	} {
		if got := tt.rate.String(); got != tt.want {
			t.Errorf("%#v is spelled %q, want %q", tt.rate, got, tt.want)
		}
	}
}

func TestRateValidate(t *testing.T) {
	for _, tt := range []struct {
		rate Rate
		want string // the error's text; "" = valid
	}{
		{Rate{1, time.Second, 1}, ""},
		{Rate{1e9, time.Millisecond, 9007199}, ""},
		{Rate{1, 366 * day, 9}, ""},
		{Rate{1e9, 366 * day, 9007199}, ""},
		{Rate{9007199, time.Second, 1e9}, ""},
		{Rate{1, 315360 * time.Second, 1000}, ""}, // fills in 10 years sharp
		{Rate{}, `rate "unlimited": count 0 must be 1 to 1000000000`},
		{Rate{-1, time.Second, 1}, `rate "-1/1s": count -1 must be 1 to 1000000000`},
		{Rate{1e9 + 1, time.Second, 1}, `rate "1000000001/1s": count 1000000001 must be 1 to 1000000000`},
		{Rate{1, 0, 1}, `rate "1/0s": period 0s must be whole milliseconds, 1ms or more`},
		{Rate{1, -time.Second, 1}, `rate "1/-1s": period -1s must be whole milliseconds, 1ms or more`},
		{Rate{1, 1500 * time.Microsecond, 1}, `rate "1/1.5ms": period 1.5ms must be whole milliseconds, 1ms or more`},
		{Rate{1, 400 * day, 1}, `rate "1/400d": period "400d" must be at most 366d`},
		{Rate{1, time.Second, 0}, `rate "1/1s:0": burst 0 must be 1 to 1000000000`},
		{Rate{1, time.Second, 1e9 + 1}, `rate "1/1s:1000000001": burst 1000000001 must be 1 to 1000000000`},
		{Rate{1e9, time.Second, 9007200}, `rate "1000000000/1s:9007200": burst 9007200 times count 1000000000 must be below 2^53; the burst may be at most 9007199`},
		{Rate{1, 366 * day, 10}, `rate "1/366d:10": a bucket of 10 must fill within 3650d at 1/366d; the burst may be at most 9`},
		{Rate{1, 315360 * time.Second, 1001}, `rate "1/5256m:1001": a bucket of 1001 must fill within 3650d at 1/5256m; the burst may be at most 1000`},
	} {
		err := tt.rate.Validate()
		var pe *ParseError
		switch {
		case err == nil && tt.want == "":
		case err == nil || err.Error() != tt.want:
			t.Errorf("%#v: %v\n  want %s", tt.rate, err, tt.want)
		case !errors.As(err, &pe) || pe.Offset != -1:
			t.Errorf("%#v: %#v, want a *ParseError without an offset", tt.rate, err)
		}
	}
}

func TestRateText(t *testing.T) {
	type doc struct{ Rate Rate }
	for _, tt := range []struct{ in, out string }{
		{`{"Rate":"60/60s:5"}`, `{"Rate":"60/1m:5"}`},
		{`{"Rate":"unlimited"}`, `{"Rate":"unlimited"}`},
		{`{}`, `{"Rate":"unlimited"}`},
	} {
		var d doc
		if err := json.Unmarshal([]byte(tt.in), &d); err != nil {
			t.Fatal(err)
		}
		if out, err := json.Marshal(d); err != nil || string(out) != tt.out {
			t.Errorf("%s became %s, %v; want %s", tt.in, out, err, tt.out)
		}
	}

	d := doc{Rate{1, time.Second, 1}}
	if err := json.Unmarshal([]byte(`{"Rate":"10/1S"}`), &d); err == nil || d.Rate.N != 1 {
		t.Errorf("a bad rate: %v, and the old one became %v", err, d.Rate)
	}
	if _, err := json.Marshal(doc{Rate{N: 1}}); err == nil || !strings.Contains(err.Error(), "period") {
		t.Errorf("a rate that is not valid was written: %v", err)
	}
	if !(Rate{}).IsZero() || (Rate{N: 1}).IsZero() {
		t.Error("IsZero is wrong")
	}
}
