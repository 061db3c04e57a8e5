package main

import (
	"reflect"
	"strings"
	"testing"

	"github.com/throttlerd/throttlerd/scheduler"
)

func TestCost(t *testing.T) {
	t.Parallel()
	for _, s := range []struct {
		flag, json string // the same, as a flag and in an envelope; "" where there is none
		cost       int64
		costs      map[string]int64
		text       string
	}{
		{"1", "1", 1, nil, ""},
		{"3", "3", 3, nil, "3"},
		{"github=1,openai=1200", `{"github":1,"openai":1200}`, 0, map[string]int64{"github": 1, "openai": 1200}, "github=1,openai=1200"},
		{"2,github=0", "", 2, map[string]int64{"github": 0}, "2,github=0"},
		{"github=0,2", "", 2, map[string]int64{"github": 0}, "2,github=0"},
		{"queue=5,key=0", ` {"queue": 5, "key": 0}`, 0, map[string]int64{"queue": 5, "key": 0}, "key=0,queue=5"},
	} {
		want := scheduler.SubmitRequest{Cost: s.cost, Costs: s.costs}
		var r scheduler.SubmitRequest
		if err := parseCost(s.flag, &r); err != nil || !reflect.DeepEqual(r, want) {
			t.Errorf("--cost %s: %+v %v, want %+v", s.flag, r, err, want)
		}
		if got := costText(r.Cost, r.Costs); got != s.text {
			t.Errorf("--cost %s is shown as %q, want %q", s.flag, got, s.text)
		}
		if s.json == "" {
			continue
		}
		r = scheduler.SubmitRequest{}
		if err := costField(&r, []byte(s.json)); err != nil || !reflect.DeepEqual(r, want) {
			t.Errorf("cost %s: %+v %v, want %+v", s.json, r, err, want)
		}
	}
}

func TestBadCost(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		"":                     "is not a whole number",
		"many":                 `--cost "many" is not a whole number of tokens, nor LIMIT=NUMBER; write for example 3, or 2,github=1`,
		"1.5":                  "is not a whole number",
		"0":                    "LIMIT=0 takes a task out of one limit",
		"1,2":                  "given twice",
		"github=":              "is not a whole number",
		"=1":                   "is not a whole number",
		"github=1,":            "is not a whole number",
		"github=1,github=2":    `limit "github" is given twice`,
		"99999999999999999999": "is not a whole number",
	} {
		var r scheduler.SubmitRequest
		err := parseCost(text, &r)
		if code, _ := classify(err); err == nil || code != exitUsage || !strings.Contains(err.Error(), says) {
			t.Errorf("--cost %q: exit %d, %v, want %q", text, code, err, says)
		}
	}
	for text, says := range map[string]string{
		`"3"`: "must be a whole number of tokens, or an object", "1.5": "must be a whole number", "null": "must be a whole number", "[1]": "must be a whole number", "true": "must be a whole number",
		"0": "0 for all limits is refused", `{"github":"1"}`: "must be a whole number", `{"github":1.5}`: "must be a whole number", `{"github":{}}`: "must be a whole number",
		`{"github":1,"github":1}`: `limit "github" is given twice`,
	} {
		var r scheduler.SubmitRequest
		if err := costField(&r, []byte(text)); err == nil || !strings.Contains(err.Error(), `"cost"`) || !strings.Contains(err.Error(), says) {
			t.Errorf("cost %s: %v, want %q", text, err, says)
		}
	}
}

// What is shown of a cost means the same when it is typed.
func FuzzCost(f *testing.F) {
	f.Add("2,github=1,queue=0")
	f.Fuzz(func(t *testing.T, text string) {
		var r, again scheduler.SubmitRequest
		if parseCost(text, &r) != nil || r.Cost < 0 {
			return
		}
		shown := costText(r.Cost, r.Costs)
		if shown == "" {
			shown = "1"
			r.Cost = 1
		}
		if err := parseCost(shown, &again); err != nil || max(1, again.Cost) != max(1, r.Cost) || !reflect.DeepEqual(again.Costs, r.Costs) {
			t.Errorf("%q is shown as %q, which is %+v %v", text, shown, again, err)
		}
	})
}
