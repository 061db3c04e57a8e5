package config

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
)

func rates(t *testing.T, s string) ratelimit.Rates {
	t.Helper()
	rs, err := ratelimit.ParseRates(s)
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

func TestLimitsAndKeys(t *testing.T) {
	c, diags := Load("testdata/good/limits.hcl", skipPlugins)
	if diags.Len() > 0 {
		t.Fatal(text(t, diags))
	}
	limits := []Limit{
		{"github", LimitSpec{rates(t, "5000/1h:50, 100/1m:20"), 20, 20}},
		{"places", LimitSpec{Concurrency: 1_000_000}},
		{"mail", LimitSpec{Rates: rates(t, "10/1s, 300/15m:20")}},
	}
	if !reflect.DeepEqual(c.Limits, limits) {
		t.Errorf("limits:\n%+v\nwant\n%+v", c.Limits, limits)
	}

	fast, none := rates(t, "50/1s, 1000/1h"), ratelimit.Rates(nil)
	noCap, four, most := 0, 4, 1000
	calls := NewQueue("calls", "echo")
	calls.LimitSpec = LimitSpec{rates(t, "10/1m, 300/15m:20"), 8, 1}
	calls.Limits = []string{"mail", "github"}
	calls.Key = &Key{rates(t, "5/1s"), 2, 3}
	calls.Exceptions = map[string]Exception{
		"acme":                            {Rates: &fast, Weight: &most},
		"free":                            {Rates: &none, Concurrency: &noCap},
		`Ümläut, spaces: and 100% "more"`: {Weight: &four},
	}
	turns := NewQueue("turns", "echo")
	turns.Key = &Key{Weight: 1}
	for _, want := range []Queue{calls, turns} {
		if got, _ := c.Queue(want.Name); !reflect.DeepEqual(got, want) {
			t.Errorf("queue:\n%+v\nwant\n%+v", got, want)
		}
	}
}

// A limit may stand in another file, and after the queues that name it.
func TestLimitsOfOtherFiles(t *testing.T) {
	c, diags := Load("testdata/good/dir", skipPlugins)
	if diags.Len() > 0 {
		t.Fatal(text(t, diags))
	}
	if q, _ := c.Queue("first"); !reflect.DeepEqual(q.Limits, []string{"shared"}) || c.Limits[0].Name != "shared" {
		t.Errorf("%+v, %+v", q, c.Limits)
	}
}

// At their bounds, sizes are taken.
func TestWidestLimits(t *testing.T) {
	var eightRates, eightLimits []string
	var src strings.Builder
	for i := range ratelimit.MaxRates {
		eightRates = append(eightRates, fmt.Sprintf(`"%d/1s"`, i+1))
		eightLimits = append(eightLimits, fmt.Sprintf(`"l%d"`, i))
		fmt.Fprintf(&src, "limit \"l%d\" { concurrency = 1 }\n", i)
	}
	key := strings.Repeat("ü", maxKey/2)
	fmt.Fprintf(&src, "handler \"h\" {}\nqueue \"q\" {\n rate = [%s]\n limits = [%s]\n key {}\n exception %q { weight = 2 }\n}\n",
		strings.Join(eightRates, ","), strings.Join(eightLimits, ","), key)
	q, _ := mustLoad(t, src.String()).Queue("q")
	if len(q.Rates) != 8 || len(q.Limits) != 8 || *q.Exceptions[key].Weight != 2 {
		t.Errorf("%+v", q)
	}
}

// Thousands of mistakes in the names of limits take a moment.
func TestManyLimits(t *testing.T) {
	var src strings.Builder
	src.WriteString("handler \"h\" {}\n")
	for i := range 2000 {
		fmt.Fprintf(&src, "limit \"l%d\" { rate = \"1/1s\" }\nqueue \"q%d\" {\n limits = [\"l%d\", \"m%d\"]\n key {\n exception \"k\" { rats = 1 }\n }\n}\n", i, i, i, i)
	}
	start := time.Now()
	_, diags := load(t, src.String())
	if diags.Len() != 4000 {
		t.Errorf("%d diagnostics, want 4000: %v", diags.Len(), diags.Err())
	}
	if took := time.Since(start); took > 2*time.Minute {
		t.Errorf("took %v", took)
	}
}
