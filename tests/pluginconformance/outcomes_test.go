//go:build linux

package pluginconformance

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/pluginapi/handlerpb"
	"github.com/throttlerd/throttlerd/tests/proc"
)

func TestOutcomes(t *testing.T) {
	each(t, func(t *testing.T, p plugin) {
		s := p.start(t, "")
		before := time.Now()
		for _, c := range []struct {
			payload string
			outcome pluginapi.Outcome
			err     string // a part of it
			delay   time.Duration
			limit   string
		}{
			{payload: "hello", outcome: pluginapi.Done},
			{payload: `{"sleep": "20ms"}`, outcome: pluginapi.Done},
			{payload: `{"fail": "boom"}`, outcome: pluginapi.Failed, err: "boom"},
			{payload: `{"panic": "aargh"}`, outcome: pluginapi.Failed, err: "aargh"},
			{payload: `{"sleep": 5}`, outcome: pluginapi.FailedForGood, err: "sleep"},
			{payload: `{"sleep": "long"}`, outcome: pluginapi.FailedForGood, err: `such as "5s"`},
			{payload: `{"actual": {"openai": "5"}}`, outcome: pluginapi.FailedForGood, err: "actual"},
			{payload: `{"report": {"limit": "github"}}`, outcome: pluginapi.FailedForGood, err: "report"},
			{payload: `{"retry_after": "1500ms"}`, outcome: pluginapi.FailedRetryAfter, err: "retry", delay: 1500 * time.Millisecond},
			{payload: `{"throttle": "1m30s"}`, outcome: pluginapi.SlowedDown, err: "throttled", delay: 90 * time.Second, limit: "queue"},
			{payload: `{"throttle": "3s", "limit": "github"}`, outcome: pluginapi.SlowedDown, err: "throttled", delay: 3 * time.Second, limit: "github"},
			{payload: `{"throttle": "3s", "limit": ""}`, outcome: pluginapi.SlowedDown, err: "throttled", delay: 3 * time.Second, limit: "queue"},
		} {
			r := s.do(c.payload)
			if r.Outcome != c.outcome || !strings.Contains(r.Err, c.err) || r.Delay != c.delay || r.Limit != c.limit || r.Truncated {
				t.Errorf("%s: %+v", c.payload, r)
			}
			if done := r.Outcome == pluginapi.Done; done != (r.Err == "") || done != (string(r.Result) == c.payload) {
				t.Errorf("%s: %+v", c.payload, r)
			}
			if r.StartedAt.Before(before.Add(-time.Second)) || r.StartedAt.After(time.Now().Add(time.Second)) {
				t.Errorf("%s: started at %s", c.payload, r.StartedAt)
			}
		}
	})
}

// What a task tells of limits comes with any outcome.
func TestLimits(t *testing.T) {
	each(t, func(t *testing.T, p plugin) {
		s := p.start(t, "")
		for _, ends := range []string{"", `, "fail": "boom"`, `, "panic": "aargh"`, `, "throttle": "3s"`} {
			r := s.do(`{"actual": {"openai": 1200, "queue": 0}, "report": [{"limit": "github", "reset": "3s"}, {"remaining": 7}]` + ends + "}")
			if !maps.Equal(r.Actual, map[string]int64{"openai": 1200, "queue": 0}) || len(r.Reports) != 2 {
				t.Fatalf("%s: %+v", ends, r)
			}
			left := time.Until(r.Reports[0].ResetAt)
			if a, b := r.Reports[0], r.Reports[1]; a.Limit != "github" || a.Remaining != 0 || left < 0 || left > 3*time.Second ||
				b.Limit != "queue" || b.Remaining != 7 || !b.ResetAt.IsZero() {
				t.Errorf("%s: %+v", ends, r.Reports)
			}
		}
	})
}

func TestResultsAreCut(t *testing.T) {
	each(t, func(t *testing.T, p plugin) {
		s := p.start(t, "")
		for _, n := range []int{handlerpb.MaxResult - 1, handlerpb.MaxResult, handlerpb.MaxResult + 1, 3 * handlerpb.MaxResult} {
			payload := strings.Repeat("0123456789", n)[:n]
			r := s.do(payload)
			kept := min(n, handlerpb.MaxResult)
			if r.Outcome != pluginapi.Done || string(r.Result) != payload[:kept] || r.Truncated != (n > kept) {
				t.Errorf("of %d bytes: %s, %d bytes, truncated %v", n, r.Outcome, len(r.Result), r.Truncated)
			}
		}
	})
}

// An error text is cut between two characters, and what is no text does not break the
// stream.
func TestErrorsAreText(t *testing.T) {
	each(t, func(t *testing.T, p plugin) {
		s := p.start(t, "")
		for _, c := range []struct{ payload, part string }{
			{`{"fail": "` + strings.Repeat("é", 5000) + `"}`, strings.Repeat("é", 2000)},
			{`{"fail": "a` + strings.Repeat("é", 5000) + `"}`, "a" + strings.Repeat("é", 2000)},
			{`{"fail": "half of a character: \ud83d"}`, "half of a character: "},
		} {
			r := s.do(c.payload)
			if r.Outcome != pluginapi.Failed || !strings.HasPrefix(r.Err, c.part) || len(r.Err) > handlerpb.MaxError || !utf8.ValidString(r.Err) {
				t.Errorf("%s with %d bytes: %.100q", r.Outcome, len(r.Err), r.Err)
			}
		}
	})
}

// A task that sleeps tells each second how far it is, and nothing after its result.
func TestProgress(t *testing.T) {
	each(t, func(t *testing.T, p plugin) {
		s := p.start(t, "")
		long, short := s.sendPayload(`{"sleep": "1500ms"}`), s.sendPayload(`{"sleep": "1030ms"}`)
		if r := s.result(); r.Run != short {
			t.Fatalf("%+v", r)
		}
		before := s.told()
		if r := s.result(); r.Run != long {
			t.Fatalf("%+v", r)
		}
		after := s.told()
		last := append(before[long], after[long]...)
		if n := len(last); n == 0 || last[n-1].Percent < 50 || last[n-1].Percent > 90 || last[n-1].Note == "" {
			t.Errorf("%+v", last)
		}
		if late := after[short]; len(late) > 0 {
			t.Errorf("after its result: %+v", late)
		}
	})
}

// told takes the progress that has come, by run.
func (s *session) told() map[int64][]pluginapi.Progress {
	told := map[int64][]pluginapi.Progress{}
	for {
		select {
		case p := <-s.progress:
			told[p.Run] = append(told[p.Run], p)
		default:
			return told
		}
	}
}

func TestLinesOfATask(t *testing.T) {
	each(t, func(t *testing.T, p plugin) {
		s := p.start(t, "")
		s.doTask(&pluginapi.Task{Attempt: 3, Payload: []byte(`{"log": "here I am"}`)})
		s.logs("here I am: ", "handler=h", "task=t0", "queue=q", "attempt=3")
	})
}

// logs waits until a line of the log has all these parts.
func (s *session) logs(parts ...string) {
	s.Helper()
	proc.Eventually(s, patience, fmt.Sprintf("a line with %q", parts), func() bool {
		for line := range strings.Lines(s.log.String()) {
			if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) }) {
				return true
			}
		}
		return false
	})
}
