package runtime

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/scheduler"
)

func manyCosts(n int) map[string]int64 {
	m := make(map[string]int64, n)
	for i := range n {
		m[fmt.Sprint("limit-", i)] = 1
	}
	return m
}

func TestFeedback(t *testing.T) {
	long := strings.Repeat("x", 64)
	for _, c := range []struct {
		name    string
		result  pluginapi.Result
		limit   string
		actual  map[string]int64
		reports []scheduler.Report
		refused string // a part of it; "" nothing
	}{
		{name: "nothing", result: pluginapi.Result{Outcome: pluginapi.Done}},
		{name: "throttled, by a plugin that names no limit", result: pluginapi.Result{Outcome: pluginapi.SlowedDown}, limit: "queue"},
		{name: "throttled key", result: pluginapi.Result{Outcome: pluginapi.SlowedDown, Limit: "key"}, limit: "key"},
		{name: "throttled limit", result: pluginapi.Result{Outcome: pluginapi.SlowedDown, Limit: "github"}, limit: "github"},
		{name: "the longest name", result: pluginapi.Result{Outcome: pluginapi.SlowedDown, Limit: long}, limit: long},
		{name: "a name too long", result: pluginapi.Result{Outcome: pluginapi.SlowedDown, Limit: long + "x"}, limit: "queue", refused: "is not a name"},
		{name: "no name", result: pluginapi.Result{Outcome: pluginapi.SlowedDown, Limit: "a b=3"}, limit: "queue", refused: `"a b=3"`},
		{name: "a limit without a throttle", result: pluginapi.Result{Outcome: pluginapi.Failed, Limit: "github"}},
		{
			name:   "actual",
			result: pluginapi.Result{Outcome: pluginapi.Failed, Actual: map[string]int64{"": 2, "key": 0, "openai": 1200}},
			actual: map[string]int64{"queue": 2, "key": 0, "openai": 1200},
		},
		{
			name:   "numbers out of range",
			result: pluginapi.Result{Outcome: pluginapi.Done, Actual: map[string]int64{"a": math.MinInt64, "b": math.MaxInt64}},
			actual: map[string]int64{"a": 0, "b": 1_000_000_000},
		},
		{
			name:    "one bad name among good ones",
			result:  pluginapi.Result{Outcome: pluginapi.Done, Actual: map[string]int64{"a": 1, "Bad": 2, "c": 3}},
			actual:  map[string]int64{"a": 1, "c": 3},
			refused: `"Bad" is not a name`,
		},
		{name: "16 limits", result: pluginapi.Result{Outcome: pluginapi.Done, Actual: manyCosts(16)}, actual: manyCosts(16)},
		{name: "17 limits", result: pluginapi.Result{Outcome: pluginapi.Done, Actual: manyCosts(17)}, refused: "17 limits; at most 16"},
		{
			name: "reports",
			result: pluginapi.Result{Outcome: pluginapi.SlowedDown, Reports: []pluginapi.Report{
				{Limit: "github", ResetAt: time.Now().Add(3 * time.Second)},
				{Remaining: 7},
				{Limit: "key", Remaining: -1, ResetAt: time.Now().Add(-time.Second)},
				{Limit: "b", Remaining: math.MaxInt64, ResetAt: time.Now().AddDate(300, 0, 0)},
			}},
			limit: "queue",
			reports: []scheduler.Report{
				{Limit: "github", Reset: 3 * time.Second},
				{Limit: "queue", Remaining: 7},
				{Limit: "key"},
				{Limit: "b", Remaining: 1_000_000_000, Reset: 24 * time.Hour},
			},
		},
		{
			name: "all names bad",
			result: pluginapi.Result{
				Outcome: pluginapi.SlowedDown, Limit: " ", Actual: map[string]int64{"\n": 1},
				Reports: []pluginapi.Report{{Limit: strings.Repeat("y", 1<<20)}},
			},
			limit:   "queue",
			refused: `limit " " is not a name: 1 to 64 of a-z 0-9 _ . - and a letter or digit first, and 2 more`,
		},
		{
			name:    "17 reports",
			result:  pluginapi.Result{Outcome: pluginapi.Done, Reports: append([]pluginapi.Report{{Limit: "first"}}, make([]pluginapi.Report, 16)...)},
			reports: slices.Repeat([]scheduler.Report{{Limit: "queue"}}, 16),
			refused: "17 reports; of more than 16 only the last 16 count",
		},
	} {
		o := outcome(&c.result)
		err := feedback(&o, &c.result)
		if o.Limit != c.limit || !maps.Equal(o.Actual, c.actual) || !slices.EqualFunc(o.Reports, c.reports, sameReport) {
			t.Errorf("%s: %+v", c.name, o)
		}
		if text := fmt.Sprint(err); (err == nil) != (c.refused == "") || !strings.Contains(text, c.refused) && c.refused != "" || len(text) > 300 {
			t.Errorf("%s: %s", c.name, text)
		}
	}
}

func sameReport(a, b scheduler.Report) bool {
	return a.Limit == b.Limit && a.Remaining == b.Remaining && (a.Reset-b.Reset).Abs() < 2*time.Second && (a.Reset > 0) == (b.Reset > 0)
}

// oneRun is a worker with one run that its plugin has.
func oneRun(log hclog.Logger) (*Worker, *handler, *run) {
	w := &Worker{log: log, kick: make(chan struct{}, 1), runs: make(map[int64]*run), ses: &scheduler.Session{}}
	h := &handler{name: "calls", w: w, maxCrashes: 3, places: []*place{{process: &mortal{}}}}
	r := &run{h: h, ses: w.ses, place: h.places[0], grant: scheduler.Grant{Internal: "i", ID: "t1", Queue: "q", Fence: 7}}
	w.runs[7] = r
	return w, h, r
}

// What a handler said of limits counts, also where the worker puts another outcome in the
// place of its own: the call was made.
func TestWhichOutcomesCarryFeedback(t *testing.T) {
	for _, c := range []struct {
		name    string
		cause   error // the run was called off
		outcome pluginapi.Outcome
		kind    string
	}{
		{"done", nil, pluginapi.Done, scheduler.Done},
		{"failed", nil, pluginapi.Failed, scheduler.Failed},
		{"dead", nil, pluginapi.FailedForGood, scheduler.Dead},
		{"retry", nil, pluginapi.FailedRetryAfter, scheduler.RetryIn},
		{"throttled", nil, pluginapi.SlowedDown, scheduler.Throttled},
		{"timed out", pluginapi.ErrTimeout, pluginapi.Failed, scheduler.Failed},
		{"cancelled, but done", pluginapi.ErrTaskCancelled, pluginapi.Done, scheduler.Done},
		{"cancelled", pluginapi.ErrTaskCancelled, pluginapi.Failed, scheduler.Cancelled},
		{"given back", pluginapi.ErrDraining, pluginapi.SlowedDown, scheduler.GiveBack},
	} {
		w, h, r := oneRun(hclog.NewNullLogger())
		r.cause = c.cause
		h.results([]pluginapi.Result{{
			Run: 7, Outcome: c.outcome, Limit: "github", Actual: map[string]int64{"github": 3}, Reports: []pluginapi.Report{{Limit: "github"}},
		}})
		o := w.outcomes[0]
		if o.Kind != c.kind || o.Task != "i" || o.Fence != 7 || o.Actual["github"] != 3 || len(o.Reports) != 1 {
			t.Errorf("%s: %+v", c.name, o)
		}
	}
	w, h, _ := oneRun(hclog.NewNullLogger())
	h.down(h.places[0].process, errors.New("signal: killed"))
	if o := w.outcomes[0]; o.Kind != scheduler.Crashed || o.Actual != nil || o.Reports != nil {
		t.Errorf("crash: %+v", o)
	}
}

func TestRefusedFeedbackIsLoggedOnce(t *testing.T) {
	var out bytes.Buffer
	_, h, _ := oneRun(hclog.New(&hclog.LoggerOptions{Output: &out}))
	h.results([]pluginapi.Result{{Run: 7, Outcome: pluginapi.Done, Actual: map[string]int64{"A": 1, "B": 2}, Reports: []pluginapi.Report{{Limit: "C"}}}})
	if lines := out.String(); strings.Count(lines, "\n") != 1 || !strings.Contains(lines, "ignored what a result says of limits: handler=calls queue=q task=t1 reason=") || !strings.Contains(lines, "and 2 more") {
		t.Errorf("logged:\n%s", lines)
	}
}
