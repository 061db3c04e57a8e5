package main

import (
	"reflect"
	"strings"
	"testing"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/scheduler"
)

func TestException(t *testing.T) {
	t.Parallel()
	rates := func(text string) *ratelimit.Rates {
		r, err := ratelimit.ParseRates(text)
		if err != nil {
			t.Fatal(err)
		}
		return &r
	}
	number := func(n int) *int { return &n }
	for text, want := range map[string]struct {
		key  string
		rule *scheduler.KeyRule
		says string // as it is shown
	}{
		"acme:":               {key: "acme"},
		"acme:rate=50/1s":     {"acme", &scheduler.KeyRule{Rates: rates("50/1s")}, "rate 50/1s"},
		"acme:rate=unlimited": {"acme", &scheduler.KeyRule{Rates: rates("unlimited")}, "rate unlimited"},
		"acme:weight=4":       {"acme", &scheduler.KeyRule{Weight: number(4)}, "weight 4"},
		"host:8080:":          {key: "host:8080"},
		"http://a.b:weight=2": {"http://a.b", &scheduler.KeyRule{Weight: number(2)}, "weight 2"},
		"a b:concurrency=0":   {"a b", &scheduler.KeyRule{Concurrency: number(0)}, "concurrency none"},
		"acme:rate=9/1s+300/15m:20,concurrency=4,weight=1": {
			"acme", &scheduler.KeyRule{Rates: rates("9/1s,300/15m:20"), Concurrency: number(4), Weight: number(1)}, "rate 9/1s, 300/15m:20, concurrency 4, weight 1"},
	} {
		key, rule, err := parseException(text)
		if err != nil || key != want.key || !reflect.DeepEqual(rule, want.rule) {
			t.Errorf("--exception %s: %q %+v %v", text, key, rule, err)
			continue
		}
		if rule != nil && ruleText(*rule) != want.says {
			t.Errorf("--exception %s is shown as %q, want %q", text, ruleText(*rule), want.says)
		}
	}
	for text, says := range map[string]string{
		"":                         "is not of the form KEY:rate=50/1s",
		"acme":                     "is not of the form KEY:rate=50/1s",
		":rate=1/1s":               "is not of the form",
		"acme:rat=1/1s":            `--exception of key "acme": there is no setting "rat"; did you mean "rate"?`,
		"acme:timeout=1s":          "there are rate, concurrency, weight",
		"acme:rate=0/1s":           `rate "0/1s"`,
		"acme:rate=1/1s+1/1s":      "there twice",
		"acme:rate=1/1s,rate=2/1s": "rate is given twice",
		"acme:weight=heavy":        `weight "heavy" is not a whole number`,
		"acme:concurrency=":        `concurrency "" is not a whole number`,
		"acme:rate=1/1s,weight=1,": "there is no setting",
	} {
		_, _, err := parseException(text)
		if code, _ := classify(err); err == nil || code != exitUsage || !strings.Contains(err.Error(), says) {
			t.Errorf("--exception %q: exit %d, %v, want %q", text, code, err, says)
		}
	}
}

// A key ends where its settings begin, whatever else is typed.
func FuzzException(f *testing.F) {
	f.Add("acme:rate=50/1s+300/15m:20,concurrency=4,weight=4")
	f.Fuzz(func(t *testing.T, text string) {
		key, rule, err := parseException(text)
		if err != nil {
			return
		}
		settings, ok := strings.CutPrefix(text, key+":")
		if !ok || key == "" || (rule == nil) != (settings == "") {
			t.Errorf("%q is read as key %q with %+v", text, key, rule)
		}
	})
}
