package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/scheduler"
)

func ratesOf(text string) ratelimit.Rates {
	r, err := ratelimit.ParseRates(text)
	if err != nil {
		panic(err)
	}
	return r
}

// picturedLimits are one limit in each state.
func picturedLimits() []scheduler.Limit {
	bucket := func(tokens float64, of int64, next time.Duration) scheduler.Bucket {
		return scheduler.Bucket{Tokens: tokens, Capacity: of, NextToken: noon.Add(next), At: noon}
	}
	return []scheduler.Limit{
		{Name: "active", LimitSpec: scheduler.LimitSpec{Rates: ratesOf("10/1s,300/15m:20")}, Bucket: bucket(1, 1, 0), Queues: []string{"a"}},
		{Name: "capped", LimitSpec: scheduler.LimitSpec{Concurrency: 20}, Bucket: scheduler.Bucket{Running: 20, At: noon}, Queues: []string{"a", "b"}, Waiting: 2},
		{Name: "exhausted", LimitSpec: scheduler.LimitSpec{Rates: ratesOf("5000/1h:50"), Concurrency: 8, DebtMax: 10}, Bucket: bucket(0.25, 50, 2520*time.Millisecond),
			Queues: []string{"a"}, Waiting: 1, Spent: 1200, Wasted: 3, Credited: 40, Owed: 50, Cut: 6},
		{Name: "frozen", LimitSpec: scheduler.LimitSpec{Rates: ratesOf("50/1s")}, Owner: "team-a", Declared: &scheduler.LimitSpec{Rates: ratesOf("10/1s"), Concurrency: 4},
			Bucket: scheduler.Bucket{Tokens: 1, Capacity: 1, NextToken: noon, At: noon, FrozenUntil: noon.Add(9 * time.Second),
				Override: &scheduler.Override{Until: noon.Add(2 * time.Hour), Base: ratesOf("10/1s")},
				LastEdit: &scheduler.Edit{At: noon.Add(-time.Minute), By: "ann@host-a", What: `limit "frozen": rate 50/1s for 2h0m0s`}}},
		{Name: "undeclared", LimitSpec: scheduler.LimitSpec{Rates: ratesOf("1/1s")}, Bucket: bucket(1, 1, 0), Owner: "team-a", Undeclared: true},
		{Name: "void", Bucket: scheduler.Bucket{Running: 1, At: noon}},
	}
}

func TestLimitListText(t *testing.T) {
	t.Parallel()
	var a app
	a.table(limitTable(picturedLimits()))
	golden(t, "limit_list.txt", a.out.String())
}

func TestLimitShowText(t *testing.T) {
	t.Parallel()
	for _, l := range picturedLimits() {
		var a app
		a.facts(limitFacts(l))
		a.printf("\n%s\n", limitReason(l))
		golden(t, "limit_show_"+l.Name+".txt", a.out.String())
	}
	var a app
	if err := a.printJSON(viewLimit(picturedLimits()[3])); err != nil {
		t.Fatal(err)
	}
	golden(t, "limit_show_frozen.json", a.out.String())
}

// Programs find each field, and what there is nothing of is null, 0 or empty.
func TestLimitJSONOfNothing(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(viewLimit(scheduler.Limit{Name: "void"}))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"name":"void","state":"active","rate":"unlimited","concurrency":0,"debt_max":0,"running":0,"tokens":null,"capacity":null,` +
		`"next_token_in_seconds":null,"queues":[],"waiting":0,"override":null,"frozen_until":null,"tokens_spent_total":0,"tokens_wasted_total":0,` +
		`"tokens_credited_total":0,"tokens_owed_total":0,"tokens_cut_total":0,"last_edit":null,"owner":null,"undeclared":false,"declared":null}`
	if string(text) != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
}

func TestSetWords(t *testing.T) {
	t.Parallel()
	spec := func(rates string, concurrency int) scheduler.Limit {
		return scheduler.Limit{LimitSpec: scheduler.LimitSpec{Rates: ratesOf(rates), Concurrency: concurrency}}
	}
	for _, s := range []struct {
		before, after scheduler.Limit
		created       bool
		want          string
	}{
		{after: spec("5000/1h:50", 20), created: true, want: "created, rate 5000/1h:50, concurrency 20, debt-max 0"},
		{after: spec("unlimited", 20), created: true, want: "created, rate unlimited, concurrency 20, debt-max 0"},
		{before: spec("1/1s", 0), after: spec("2/1s,9/1m", 3), want: "rate 1/1s -> 2/1s, 9/1m, concurrency none -> 3"},
		{before: spec("1/1s", 3), after: spec("1/1s", 3), want: "as it was"},
	} {
		if got := setWords(s.before, s.after, s.created); got != s.want {
			t.Errorf("%q, want %q", got, s.want)
		}
	}
}

func TestBindingText(t *testing.T) {
	t.Parallel()
	for _, s := range []struct {
		b           scheduler.Binding
		text, brief string
	}{
		{scheduler.Binding{Limit: "queue", Why: "rate", Need: 1, Next: noon.Add(4500 * time.Millisecond)},
			"queue: needs 1 token, has 0, may go on in 4.5s (CLOCK)", "rate 4.5s"},
		{scheduler.Binding{Limit: `limit "github"`, Why: "rate", Need: 1200, Have: -3, Next: noon.Add(time.Minute)},
			`limit "github": needs 1,200 tokens, has -3, may go on in 1m (CLOCK)`, "github 1m"},
		{scheduler.Binding{Limit: `key "acme"`, Why: "rate", Need: 1, Have: 2, Next: noon.Add(time.Minute)},
			`key "acme": needs 1 token, has 2 for those before it, may go on in 1m (CLOCK)`, "key acme 1m"},
		{scheduler.Binding{Limit: `limit "github"`, Why: "concurrency", Need: 1},
			`limit "github": needs 1 place, has 0`, "github concurrency"},
		{scheduler.Binding{Limit: `key "acme"`, Why: "frozen", Need: 1, Next: noon.Add(9 * time.Second)},
			`key "acme": frozen, for an upstream said slow down, may go on in 9s (CLOCK)`, "key acme frozen 9s"},
		{scheduler.Binding{Limit: `limit "github"`, Why: "turn", Need: 1}, `limit "github": others are before it`, "github turn"},
		{scheduler.Binding{Limit: "queue", Why: "never", Need: 9, Have: 5}, "queue: needs 9 tokens, which is above its capacity", "never"},
	} {
		text := bindingText(&s.b, noon)
		for _, v := range varying {
			if v.with == "CLOCK" {
				text = v.form.ReplaceAllString(text, v.with)
			}
		}
		if brief := bindingBrief(&s.b, noon); text != s.text || brief != s.brief {
			t.Errorf("%q and %q, want %q and %q", text, brief, s.text, s.brief)
		}
	}
	if got := namedLimit(`limit "github"`) + namedLimit("rate") + namedLimit(`key "limit"`); got != "github" {
		t.Errorf("named limit %q", got)
	}
}
