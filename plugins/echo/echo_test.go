package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/pluginapi/plugintest"
)

func TestScript(t *testing.T) {
	for _, c := range []struct {
		name    string
		config  string
		payload string
		outcome pluginapi.Outcome
		err     string
		delay   time.Duration
	}{
		{name: "plain text", payload: "hello", outcome: pluginapi.Done},
		{name: "no payload", payload: "", outcome: pluginapi.Done},
		{name: "other JSON", payload: `{"x": 1}`, outcome: pluginapi.Done},
		{name: "not quite JSON", payload: `{"fail": `, outcome: pluginapi.Done},
		{name: "a list", payload: `["fail"]`, outcome: pluginapi.Done},
		{name: "the field's name as a value", payload: `{"verb": "fail"}`, outcome: pluginapi.Done},
		{name: "fail by payload", payload: `{"fail": "boom"}`, outcome: pluginapi.Failed, err: "boom"},
		{name: "fail by config", config: `{"fail": "boom"}`, payload: "x", outcome: pluginapi.Failed, err: "boom"},
		{name: "payload wins", config: `{"fail": "boom"}`, payload: `{"fail": ""}`, outcome: pluginapi.Done},
		{name: "throttle", payload: `{"throttle": "3s"}`, outcome: pluginapi.SlowedDown, err: "throttled", delay: 3 * time.Second},
		{name: "retry later", payload: `{"retry_after": "3s"}`, outcome: pluginapi.FailedRetryAfter, err: "retry", delay: 3 * time.Second},
		{name: "panic", payload: `{"panic": "aargh"}`, outcome: pluginapi.Failed, err: "panic: aargh"},
		{name: "sleep", config: `{"sleep": "1ms"}`, payload: "x", outcome: pluginapi.Done},
		{name: "bad type", payload: `{"sleep": 5}`, outcome: pluginapi.FailedForGood, err: "sleep"},
		{name: "bad duration", payload: `{"sleep": "long"}`, outcome: pluginapi.FailedForGood, err: `such as "5s"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := plugintest.Run(t, &echo{}, c.config, pluginapi.Task{Payload: []byte(c.payload)})
			if r.Outcome != c.outcome || !strings.Contains(r.Err, c.err) || r.Delay != c.delay {
				t.Errorf("%+v", r)
			}
			if r.Outcome == pluginapi.Done && string(r.Result) != c.payload {
				t.Errorf("returned %q", r.Result)
			}
		})
	}
}

func TestScriptOfLimits(t *testing.T) {
	soon := func(d time.Duration) time.Time { return time.Now().Add(d) }
	for _, c := range []struct {
		name    string
		config  string
		payload string
		outcome pluginapi.Outcome
		limit   string
		actual  map[string]int64
		reports []pluginapi.Report
	}{
		{name: "throttle", payload: `{"throttle": "3s"}`, outcome: pluginapi.SlowedDown, limit: "queue"},
		{name: "throttle a limit", payload: `{"throttle": "3s", "limit": "github"}`, outcome: pluginapi.SlowedDown, limit: "github"},
		{name: "the limit by config", config: `{"limit": "key"}`, payload: `{"throttle": "3s"}`, outcome: pluginapi.SlowedDown, limit: "key"},
		{name: "a limit without a throttle", payload: `{"limit": "github"}`, outcome: pluginapi.Done},
		{name: "actual", payload: `{"actual": {"openai": 1200, "queue": 0}}`, outcome: pluginapi.Done,
			actual: map[string]int64{"openai": 1200, "queue": 0}},
		{name: "actual of a failure", payload: `{"actual": {"openai": 5}, "fail": "boom"}`, outcome: pluginapi.Failed,
			actual: map[string]int64{"openai": 5}},
		{name: "actual of a panic", payload: `{"actual": {"openai": 5}, "panic": "aargh"}`, outcome: pluginapi.Failed,
			actual: map[string]int64{"openai": 5}},
		{name: "report", payload: `{"report": [{"limit": "github", "remaining": 0, "reset": "3s"}, {"limit": "key", "remaining": 7}]}`, outcome: pluginapi.Done,
			reports: []pluginapi.Report{{Limit: "github", ResetAt: soon(3 * time.Second)}, {Limit: "key", Remaining: 7}}},
		{name: "bad limit", payload: `{"limit": 5}`, outcome: pluginapi.FailedForGood},
		{name: "bad actual", payload: `{"actual": {"openai": "5"}}`, outcome: pluginapi.FailedForGood},
		{name: "bad report", payload: `{"report": {"limit": "github"}}`, outcome: pluginapi.FailedForGood},
		{name: "bad reset", payload: `{"report": [{"reset": 3}]}`, outcome: pluginapi.FailedForGood},
		{name: "no duration", payload: `{"report": [{"reset": "soon"}]}`, outcome: pluginapi.FailedForGood},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := plugintest.Run(t, &echo{}, c.config, pluginapi.Task{Payload: []byte(c.payload)})
			if r.Outcome != c.outcome || r.Limit != c.limit || !maps.Equal(r.Actual, c.actual) || !slices.EqualFunc(r.Reports, c.reports, sameReport) {
				t.Errorf("%+v", r)
			}
		})
	}
}

// sameReport allows for the time that passes between a script and its run.
func sameReport(a, b pluginapi.Report) bool {
	apart := a.ResetAt.Sub(b.ResetAt).Abs()
	return a.Limit == b.Limit && a.Remaining == b.Remaining && a.ResetAt.IsZero() == b.ResetAt.IsZero() && apart < 2*time.Second
}

func TestSleepEndsWithTheTask(t *testing.T) {
	task := pluginapi.Task{Payload: []byte(`{"sleep": "1h"}`), Deadline: time.Now().Add(20 * time.Millisecond)}
	if r := plugintest.Run(t, &echo{}, nil, task); r.Err != pluginapi.ErrTimeout.Error() {
		t.Errorf("%+v", r)
	}
}

func TestReveal(t *testing.T) {
	task := pluginapi.Task{
		ID: "t1", Queue: "q", Type: "email", Key: "ann", Attempt: 2, MaxAttempts: 5, Fence: 1<<53 + 1,
		Headers: map[string]string{"a": "b"}, SubmittedAt: time.UnixMicro(1), GrantedAt: time.UnixMicro(2),
		Payload: []byte(`{"reveal": true}`),
	}
	r := plugintest.Run(t, &echo{}, nil, task)
	want := `{"id":"t1","queue":"q","type":"email","key":"ann","attempt":2,"max_attempts":5,"run":"9007199254740993",` +
		`"headers":{"a":"b"},"submitted_us":1,"granted_us":2,"left_us":0}`
	if string(r.Result) != want {
		t.Errorf("%s%s", r.Result, r.Err)
	}
}

func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	granted := time.UnixMicro(1_700_000_000_000_001)
	task := pluginapi.Task{
		ID: "t1", Queue: "q", Key: strings.Repeat("é", 3000), Attempt: 2, Fence: 7,
		Payload: []byte(`{"fail": "boom"}`), GrantedAt: granted,
	}
	before := time.Now().UnixMicro()
	plugintest.Run(t, &echo{}, map[string]string{"journal": path}, task)
	task.Payload = []byte(`{"panic": "aargh"}`)
	plugintest.Run(t, &echo{}, map[string]string{"journal": path}, task)

	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var lines []entry
	for scan := bufio.NewScanner(bytes.NewReader(content)); scan.Scan(); {
		var e entry
		if err := json.Unmarshal(scan.Bytes(), &e); err != nil || len(scan.Bytes()) >= 4096 {
			t.Fatalf("%v: %s", err, scan.Text())
		}
		lines = append(lines, e)
	}
	if len(lines) != 4 {
		t.Fatalf("%d lines:\n%s", len(lines), content)
	}
	for i, want := range []struct{ event, outcome string }{
		{"start", ""}, {"finish", "failed"}, {"start", ""}, {"finish", "panic"},
	} {
		e := lines[i]
		if e.Event != want.event || e.Outcome != want.outcome || e.Task != "t1" || e.Queue != "q" ||
			e.Key != strings.Repeat("é", 256) || e.Attempt != 2 || e.Fence != 7 || e.Worker != os.Getppid() || e.PID != os.Getpid() ||
			e.GrantUs != granted.UnixMicro() || e.StartUs < before || e.StartUs > e.WallUs ||
			e.WallUs < before || e.WallUs > time.Now().UnixMicro() || e.MonoNs <= 0 {
			t.Errorf("line %d: %+v", i+1, e)
		}
	}
}

func TestJournalThatCannotBeWritten(t *testing.T) {
	config := map[string]string{"journal": filepath.Join(t.TempDir(), "no", "such", "dir")}
	err := plugintest.Configure(t, &echo{}, config)
	if attr, ok := errors.AsType[*pluginapi.AttributeError](err); !ok || attr.Attribute != "journal" {
		t.Errorf("%v", err)
	}
}

func BenchmarkPlainPayload(b *testing.B) {
	payload := []byte(`{"to":"someone@example.com","subject":"hello","body":"a hundred bytes of JSON that script nothing at all"}`)
	for b.Loop() {
		if _, err := (script{}).override(payload); err != nil {
			b.Fatal(err)
		}
	}
}
