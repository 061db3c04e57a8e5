package plugintest_test

import (
	"context"
	"errors"
	"maps"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/pluginapi/plugintest"
)

type greeter struct {
	Greeting string `hcl:"greeting"`
}

func (g *greeter) Configure(_ context.Context, c pluginapi.Config) error { return c.Decode(g) }

func (g *greeter) Handle(ctx context.Context, t *pluginapi.Task) ([]byte, error) {
	if len(t.Payload) == 0 {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	t.Log.Info("greeting", "name", string(t.Payload))
	return []byte(g.Greeting + ", " + string(t.Payload) + " " + t.Headers["sign"]), nil
}

func TestRun(t *testing.T) {
	task := pluginapi.Task{Payload: []byte("world"), Headers: map[string]string{"sign": "!"}}
	for name, config := range map[string]any{
		"a value": map[string]string{"greeting": "hello"},
		"a text":  `{"greeting": "hello"}`,
		"bytes":   []byte(`{"greeting": "hello"}`),
	} {
		if r := plugintest.Run(t, &greeter{}, config, task); r.Outcome != pluginapi.Done || string(r.Result) != "hello, world !" {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestRunEndsAtTheDeadline(t *testing.T) {
	task := pluginapi.Task{Deadline: time.Now().Add(10 * time.Millisecond)}
	r := plugintest.Run(t, &greeter{}, `{"greeting": "hello"}`, task)
	if r.Outcome != pluginapi.Failed || !strings.Contains(r.Err, pluginapi.ErrTimeout.Error()) {
		t.Errorf("%+v", r)
	}
}

func TestConfigure(t *testing.T) {
	if err := plugintest.Configure(t, &greeter{}, `{"greeting": "hello"}`); err != nil {
		t.Error(err)
	}
	attr, ok := errors.AsType[*pluginapi.AttributeError](plugintest.Configure(t, &greeter{}, nil))
	if !ok || attr.Attribute != "greeting" {
		t.Errorf("%v", attr)
	}
}

// What a handler says of limits arrives with every outcome, bounded and under the names
// that it goes by.
func TestRunTellsOfLimits(t *testing.T) {
	reset := time.Now().Add(time.Minute)
	tell := func(x *pluginapi.Task) {
		x.ActualCost("openai", 7)
		x.ActualCost("openai", 1200) // the last counts
		x.ActualCost("", -5)
		x.Report(pluginapi.Report{Limit: "github", Remaining: 41, ResetAt: reset})
		x.Report(pluginapi.Report{Limit: "key", Remaining: -1, ResetAt: time.Now().Add(-time.Second)})
		x.Report(pluginapi.Report{Remaining: 3})
	}
	for _, c := range []struct {
		name    string
		end     func() ([]byte, error)
		outcome pluginapi.Outcome
		limit   string
	}{
		{"done", func() ([]byte, error) { return []byte("x"), nil }, pluginapi.Done, ""},
		{"failed", func() ([]byte, error) { return nil, errors.New("boom") }, pluginapi.Failed, ""},
		{"panic", func() ([]byte, error) { panic("aargh") }, pluginapi.Failed, ""},
		{"goexit", func() ([]byte, error) { runtime.Goexit(); return nil, nil }, pluginapi.Failed, ""},
		{"permanent", func() ([]byte, error) { return nil, pluginapi.Permanent(nil) }, pluginapi.FailedForGood, ""},
		{"retry", func() ([]byte, error) { return nil, pluginapi.RetryAfter(time.Second, nil) }, pluginapi.FailedRetryAfter, ""},
		{"throttled", func() ([]byte, error) { return nil, pluginapi.Throttled(time.Second, nil) }, pluginapi.SlowedDown, "queue"},
		{"throttled limit", func() ([]byte, error) { return nil, pluginapi.ThrottledLimit("github", time.Second, nil) }, pluginapi.SlowedDown, "github"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := pluginapi.HandlerFunc(func(_ context.Context, x *pluginapi.Task) ([]byte, error) {
				tell(x)
				return c.end()
			})
			r := plugintest.Run(t, h, nil, pluginapi.Task{})
			if r.Outcome != c.outcome || r.Limit != c.limit {
				t.Errorf("%+v", r)
			}
			if want := map[string]int64{"openai": 1200, "queue": 0}; !maps.Equal(r.Actual, want) {
				t.Errorf("actual cost %v, want %v", r.Actual, want)
			}
			if len(r.Reports) != 3 {
				t.Fatalf("reports %+v", r.Reports)
			}
			github, key, queue := r.Reports[0], r.Reports[1], r.Reports[2]
			if off := github.ResetAt.Sub(reset).Abs(); github.Limit != "github" || github.Remaining != 41 || off > 5*time.Second {
				t.Errorf("%+v", github)
			}
			if key.Limit != "key" || key.Remaining != 0 || !key.ResetAt.IsZero() {
				t.Errorf("%+v", key)
			}
			if queue.Limit != "queue" || queue.Remaining != 3 || !queue.ResetAt.IsZero() {
				t.Errorf("%+v", queue)
			}
		})
	}
}

// An hour of progress, and a sleep that is cancelled, on the clock of a bubble.
func TestFakeClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := pluginapi.HandlerFunc(func(ctx context.Context, x *pluginapi.Task) ([]byte, error) {
			for minute := range 60 {
				select {
				case <-time.After(time.Minute):
					x.Progress(100*(minute+1)/60, "minute "+strconv.Itoa(minute+1))
				case <-ctx.Done():
					return nil, context.Cause(ctx)
				}
			}
			return []byte("an hour"), nil
		})
		began := time.Now()
		r := plugintest.Run(t, h, nil, pluginapi.Task{})
		r.Want(pluginapi.Done, "an hour")
		if took := time.Since(began); took != time.Hour {
			t.Errorf("took %s by the bubble's clock", took)
		}
		if n := len(r.Progress); n != 60 || r.Progress[0] != (pluginapi.Progress{Run: 1, Percent: 1, Note: "minute 1"}) || r.Progress[59].Percent != 100 {
			t.Errorf("%d times told: %+v", n, r.Progress)
		}

		for _, cause := range []error{pluginapi.ErrTaskCancelled, pluginapi.ErrDraining, pluginapi.ErrLeaseLost, pluginapi.ErrTimeout} {
			running := plugintest.Start(t, h, nil, pluginapi.Task{})
			time.Sleep(90 * time.Second)
			running.Cancel(cause)
			r := running.Result()
			r.Want(pluginapi.Failed, cause.Error())
			if len(r.Progress) != 1 {
				t.Errorf("%v", r.Progress)
			}
		}
		task := pluginapi.Task{Deadline: time.Now().Add(30 * time.Minute)}
		plugintest.Run(t, h, nil, task).Want(pluginapi.Failed, pluginapi.ErrTimeout.Error())
	})
}

// Of what a run tells at once, the last goes out; what it tells at its end comes with its
// result.
func TestProgressIsBundled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := pluginapi.HandlerFunc(func(_ context.Context, x *pluginapi.Task) ([]byte, error) {
			for i := range 1000 {
				x.Progress(i+1, strings.Repeat("é", 200))
				time.Sleep(time.Millisecond)
			}
			x.Progress(-5, "end")
			return nil, nil
		})
		r := plugintest.Run(t, h, nil, pluginapi.Task{})
		if n := len(r.Progress); n < 10 || n > 12 {
			t.Errorf("%d times told in a second", n)
		}
		if p := r.Progress[1]; p.Percent != 100 || len(p.Note) > 256 || !strings.HasSuffix(p.Note, "é…") {
			t.Errorf("%+v", p)
		}
		if p := r.Progress[len(r.Progress)-1]; p.Percent != 0 || p.Note != "end" {
			t.Errorf("the last: %+v", p)
		}
	})
}
