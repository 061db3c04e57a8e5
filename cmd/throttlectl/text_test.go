package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
)

func TestSpan(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0s", 1234: "1µs", 5678901: "5.68ms", 123456789: "123ms", 4237 * time.Millisecond: "4.2s",
		59960 * time.Millisecond: "1m", 90 * time.Second: "1m30s", time.Hour: "1h", 3600*time.Second + 400*time.Millisecond: "1h",
		25*time.Hour + 61*time.Second: "25h1m", 48 * time.Hour: "2d", 49*time.Hour + time.Minute: "2d1h1m", -time.Second: "-1s",
	} {
		if got := span(d); got != want {
			t.Errorf("span(%d) = %s, want %s", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{0: "0s", 1500 * time.Millisecond: "1.5s", time.Hour: "1h", 10 * time.Minute: "10m", 24 * time.Hour: "1d", 36 * time.Hour: "36h"} {
		if got := exact(d); got != want {
			t.Errorf("exact(%d) = %s, want %s", d, got, want)
		}
	}
}

func TestRateWords(t *testing.T) {
	t.Parallel()
	for rate, want := range map[string]string{
		"10/1m:5": "one each 6s, up to 5 at once", "10/60s": "one each 6s", "1/1h:100": "one each 1h, up to 100 at once",
		"7/1h": "one each 8m34s", "1000/1s": "one each 1ms", "30000/1s:1000": "30,000 each 1s, up to 1,000 at once", "3/1d": "one each 8h",
	} {
		r, err := ratelimit.Parse(rate)
		if err != nil {
			t.Fatal(err)
		}
		if got := rateWords(r); got != want {
			t.Errorf("%s: %s, want %s", rate, got, want)
		}
	}
	if got := rateWords(ratelimit.Rate{}); got != "no limit" {
		t.Error(got)
	}
}

func TestNumbers(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -100: "-100"} {
		if got := count(n); got != want {
			t.Errorf("count(%d) = %s, want %s", n, got, want)
		}
	}
	for n, want := range map[float64]string{0: "0", 0.999: "0.99", 5: "5", 2.5: "2.5"} {
		if got := level(n); got != want {
			t.Errorf("level(%v) = %s, want %s", n, got, want)
		}
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	var a app
	a.table([]string{"NAME", "N", "WHY"}, [][]string{{"ä", "1", ""}, {"long name", "12", "x\ty"}})
	want := "NAME       N   WHY\n" + "ä          1\n" + "long name  12  x\\ty\n"
	if got := a.out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestSafe(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain ä 漢": "plain ä 漢", "a\tb\nc": `a\tb\nc`, "\x1b[2J": `\x1b[2J`, "\u009b": `\u009b`, "\xff": `\xff`, "\u202e": `\u202e`, "\u00a0": `\u00a0`,
	} {
		if got := safe(in); got != want {
			t.Errorf("safe(%q) = %s, want %s", in, got, want)
		}
	}
}

func FuzzASCIIControls(f *testing.F) {
	f.Add("a\u009b\u202e\U000e0001\xff\x7f\"\\\n<&>")
	f.Fuzz(func(t *testing.T, s string) {
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		raw := []byte(`"` + s + `"`)
		for _, in := range [][]byte{text, raw} {
			var want, got string
			if json.Unmarshal(in, &want) != nil {
				continue
			}
			if err := json.Unmarshal(asciiControls(in), &got); err != nil || got != want {
				t.Errorf("%q became %q: %v", want, got, err)
			}
		}
	})
}
