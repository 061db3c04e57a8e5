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
	}{
		{"nil", nil, Done, 0},
		{"plain", plain, Failed, 0},
		{"permanent", Permanent(plain), FailedForGood, 0},
		{"permanent of nil", Permanent(nil), FailedForGood, 0},
		{"wrapped", fmt.Errorf("a: %w", fmt.Errorf("b: %w", Throttled(time.Second, plain))), SlowedDown, time.Second},
		{"outermost wins", Permanent(RetryAfter(time.Second, plain)), FailedForGood, 0},
		{"outermost wins, the other way", RetryAfter(time.Second, Permanent(plain)), FailedRetryAfter, time.Second},
		{"joined", errors.Join(plain, RetryAfter(time.Second, nil)), FailedRetryAfter, time.Second},
		{"negative delay", Throttled(-time.Second, plain), SlowedDown, 0},
	} {
		if outcome, delay := classify(c.err); outcome != c.outcome || delay != c.delay {
			t.Errorf("%s: %s, %s", c.name, outcome, delay)
		}
	}
	if !errors.Is(Permanent(plain), plain) || !errors.Is(RetryAfter(0, plain), plain) || !errors.Is(Throttled(0, plain), plain) {
		t.Error("a mark hides its error")
	}
}

func TestExecuteMakesAFailureOfAPanic(t *testing.T) {
	r := Execute(t.Context(), HandlerFunc(func(context.Context, *Task) ([]byte, error) {
		panic(errors.New("boom"))
	}), &Task{Fence: 3})
	if r.Run != 3 || r.Outcome != Failed || !strings.HasPrefix(r.Err, "panic: boom\n") || !strings.Contains(r.Err, "outcome_test.go") {
		t.Errorf("%+v", r)
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
