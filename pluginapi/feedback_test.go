package pluginapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/hashicorp/go-hclog"

	"github.com/throttlerd/throttlerd/pluginapi/handlerpb"
)

func execution(log hclog.Logger, say func(*Task)) Result {
	return Execute(context.Background(), HandlerFunc(func(_ context.Context, t *Task) ([]byte, error) {
		say(t)
		return nil, nil
	}), &Task{Log: log}, nil)
}

// Many goroutines may talk at once; those that go on after Handle are not heard.
func TestFeedbackFromManyGoroutines(t *testing.T) {
	talk := func(x *Task) {
		for i := range 100 {
			x.ActualCost("openai", int64(i))
			x.ActualCost(fmt.Sprint("limit-", i%20), 1)
			x.Report(Report{Limit: "github", Remaining: int64(i)})
		}
	}
	var all, stragglers sync.WaitGroup
	returned := make(chan struct{})
	r := execution(hclog.NewNullLogger(), func(x *Task) {
		x.ActualCost("openai", 1)
		for range 4 {
			all.Go(func() { talk(x) })
			stragglers.Go(func() {
				<-returned
				x.ActualCost("openai", 4711)
				x.Report(Report{Limit: "late"})
			})
		}
		all.Wait()
		x.ActualCost("openai", 99)
	})
	close(returned)
	stragglers.Wait()
	if len(r.Actual) != handlerpb.MaxLimits || r.Actual["openai"] != 99 {
		t.Errorf("%v", r.Actual)
	}
	if len(r.Reports) == 0 || len(r.Reports) > handlerpb.MaxLimits {
		t.Errorf("%d reports", len(r.Reports))
	}
	for _, p := range r.Reports {
		if p.Limit != "github" {
			t.Errorf("%+v", p)
		}
	}
}

// A task outside of a run, as in an author's own test, hears nothing and does not mind.
func TestFeedbackWithoutARun(t *testing.T) {
	x := &Task{}
	x.ActualCost("openai", 1)
	x.Report(Report{Limit: "openai"})
}

func TestTooManyLimitsAreToldOnce(t *testing.T) {
	var out bytes.Buffer
	r := execution(hclog.New(&hclog.LoggerOptions{Output: &out}), func(x *Task) {
		for i := range 30 {
			x.ActualCost(fmt.Sprint("limit-", i), int64(i))
		}
		x.ActualCost("limit-3", 33) // one that is there may still change
	})
	if len(r.Actual) != handlerpb.MaxLimits || r.Actual["limit-3"] != 33 || r.Actual["limit-15"] != 15 {
		t.Errorf("%v", r.Actual)
	}
	if lines := out.String(); strings.Count(lines, "actual cost ignored") != 1 || !strings.Contains(lines, "limit=limit-16") {
		t.Errorf("logged:\n%s", lines)
	}
}

func TestReportsThatSayNoMoreAreReplaced(t *testing.T) {
	reset := time.Now().Add(time.Hour)
	r := execution(nil, func(x *Task) {
		for left := range 100 { // a call after the other
			x.Report(Report{Limit: "github", Remaining: int64(100 - left), ResetAt: reset})
		}
		x.Report(Report{Limit: "github", Remaining: 500, ResetAt: reset.Add(time.Hour)}) // of another window
		x.Report(Report{Limit: "key", Remaining: 1, ResetAt: reset})
	})
	want := []Report{
		{"github", 1, reset}, {"github", 500, reset.Add(time.Hour)}, {"key", 1, reset},
	}
	if fmt.Sprint(r.Reports) != fmt.Sprint(want) {
		t.Errorf("%+v", r.Reports)
	}
}

func TestTheLastReportsCount(t *testing.T) {
	r := execution(nil, func(x *Task) {
		for i := range 20 {
			x.Report(Report{Limit: fmt.Sprint("limit-", i)})
		}
	})
	if len(r.Reports) != handlerpb.MaxLimits || r.Reports[0].Limit != "limit-4" || r.Reports[15].Limit != "limit-19" {
		t.Errorf("%+v", r.Reports)
	}
}

// What is no name arrives as none, whatever is cut from it.
func TestBadLimitNamesStayBad(t *testing.T) {
	for _, n := range []int{65, 127, 128, 129, 1 << 20} {
		for _, letter := range []string{"x", "é", "\xff"} {
			name := strings.Repeat(letter, n)
			r := Execute(t.Context(), HandlerFunc(func(_ context.Context, x *Task) ([]byte, error) {
				x.ActualCost(name, 1)
				x.Report(Report{Limit: name})
				return nil, ThrottledLimit(name, 0, errors.New("429"))
			}), &Task{}, nil)
			for limit := range r.Actual {
				bad := len(limit) > handlerpb.MaxLimitName || strings.Contains(limit, "\uFFFD")
				if limit != r.Limit || limit != r.Reports[0].Limit || !bad || len(limit) > 1<<10 || !utf8.ValidString(limit) {
					t.Errorf("%d times %q became %q", n, letter, limit)
				}
			}
		}
	}
}

// Numbers of a plugin in another language may be anything.
func TestDecodeReports(t *testing.T) {
	for _, c := range []struct {
		us   int64
		want time.Duration // from now; negative: not told
	}{
		{0, -1}, {-5, -1}, {math.MinInt64, -1},
		{3_000_000, 3 * time.Second},
		{math.MaxInt64, handlerpb.MaxReset},
	} {
		r := DecodeResult(&handlerpb.Result{Reports: []*handlerpb.Report{{Limit: "github", ResetUs: c.us}}})
		at := r.Reports[0].ResetAt
		if off := (time.Until(at) - c.want).Abs(); at.IsZero() != (c.want < 0) || !at.IsZero() && off > 5*time.Second {
			t.Errorf("%d µs: %s", c.us, at)
		}
	}
}
