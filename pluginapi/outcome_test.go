package pluginapi

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestClassify(t *testing.T) {
	plain := errors.New("plain")
	for _, c := range []struct {
		name    string
		err     error
		outcome Outcome
		delay   time.Duration
		limit   string
	}{
		{"nil", nil, Done, 0, ""},
		{"plain", plain, Failed, 0, ""},
		{"permanent", Permanent(plain), FailedForGood, 0, ""},
		{"permanent of nil", Permanent(nil), FailedForGood, 0, ""},
		{"wrapped", fmt.Errorf("a: %w", fmt.Errorf("b: %w", Throttled(time.Second, plain))), SlowedDown, time.Second, "queue"},
		{"of a limit", ThrottledLimit("github", time.Second, plain), SlowedDown, time.Second, "github"},
		{"of the key", fmt.Errorf("a: %w", ThrottledLimit("key", time.Second, nil)), SlowedDown, time.Second, "key"},
		{"of no limit", &ThrottledError{Delay: time.Second, Err: plain}, SlowedDown, time.Second, "queue"},
		{"outermost wins", Permanent(RetryAfter(time.Second, plain)), FailedForGood, 0, ""},
		{"outermost wins, the other way", RetryAfter(time.Second, Permanent(plain)), FailedRetryAfter, time.Second, ""},
		{"joined", errors.Join(plain, RetryAfter(time.Second, nil)), FailedRetryAfter, time.Second, ""},
		{"joined, of a limit", errors.Join(plain, ThrottledLimit("github", 0, nil)), SlowedDown, 0, "github"},
		{"negative delay", Throttled(-time.Second, plain), SlowedDown, 0, "queue"},
	} {
		if outcome, delay, limit := classify(c.err); outcome != c.outcome || delay != c.delay || limit != c.limit {
			t.Errorf("%s: %s, %s, %q", c.name, outcome, delay, limit)
		}
	}
	if !errors.Is(Permanent(plain), plain) || !errors.Is(RetryAfter(0, plain), plain) || !errors.Is(Throttled(0, plain), plain) {
		t.Error("a mark hides its error")
	}
}

func TestExecuteMakesAFailureOfAPanic(t *testing.T) {
	r := Execute(t.Context(), HandlerFunc(func(context.Context, *Task) ([]byte, error) {
		panic(errors.New("boom"))
	}), &Task{Fence: 3}, nil)
	if r.Run != 3 || r.Outcome != Failed || !strings.HasPrefix(r.Err, "panic: boom\n") || !strings.Contains(r.Err, "outcome_test.go") {
		t.Errorf("%+v", r)
	}
}

type noError struct{ text string }

func (e *noError) Error() string { return e.text }

type badUnwrap struct{ error }

func (badUnwrap) Unwrap() error { panic("no cause") }

// An error of the author's whose methods panic is a failure like any other.
func TestExecuteMakesAFailureOfAnErrorThatPanics(t *testing.T) {
	var none *noError
	for want, err := range map[string]error{"nil pointer": none, "panic: no cause": badUnwrap{errors.New("x")}} {
		r := Execute(t.Context(), HandlerFunc(func(context.Context, *Task) ([]byte, error) { return nil, err }), &Task{Fence: 3}, nil)
		if r.Run != 3 || r.Outcome != Failed || !strings.Contains(r.Err, want) {
			t.Errorf("%+v, want %q", r, want)
		}
	}
}

func FuzzCutText(f *testing.F) {
	f.Add("héllo", 5)
	f.Add("\xff\xfe\xfd\xfc", 3)
	f.Fuzz(func(t *testing.T, s string, n int) {
		n = 3 + abs(n)%64
		got := cutText(s, n)
		if !utf8.ValidString(got) {
			t.Errorf("%q is not valid", got)
		}
		if utf8.ValidString(s) && len(got) > n {
			t.Errorf("%d bytes of at most %d", len(got), n)
		}
		if utf8.ValidString(s) && len(s) <= n && got != s {
			t.Errorf("%q became %q", s, got)
		}
	})
}

func abs(n int) int {
	if n < 0 {
		return -(n + 1)
	}
	return n
}
