//go:build linux

package pluginconformance

import (
	"bytes"
	"encoding/json"
	"maps"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/pluginapi/handlerpb"
)

func TestPayloadIsUnchanged(t *testing.T) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	each(t, func(t *testing.T, p plugin) {
		s := p.start(t, "")
		for name, payload := range map[string][]byte{
			"none":                     {},
			"every byte":               every,
			"no UTF-8":                 []byte("a\xffb\xc3"),
			"a mark of the byte order": []byte("\xef\xbb\xbf{}"),
			"half a script":            []byte(`{"fail": `),
			"JSON that is no script":   []byte(" {\"x\": 1.0,\n\"verb\": \"fail\"}\n"),
			"a list":                   []byte(`["fail"]`),
		} {
			if r := s.do(string(payload)); r.Outcome != pluginapi.Done || !bytes.Equal(r.Result, payload) {
				t.Errorf("%s: %+v", name, r)
			}
		}
	})
}

func TestLargestPayloads(t *testing.T) {
	const largest, tasks = 1 << 20, 8 // as max_payload may say at most
	each(t, func(t *testing.T, p plugin) {
		s := p.start(t, "")
		var batch []*pluginapi.Task
		for i := range tasks {
			batch = append(batch, &pluginapi.Task{Payload: bytes.Repeat([]byte{byte(i)}, largest)})
		}
		first := s.send(batch...)
		for range tasks {
			r := s.result()
			sent := batch[r.Run-first].Payload
			if r.Outcome != pluginapi.Done || !r.Truncated || !bytes.Equal(r.Result, sent[:handlerpb.MaxResult]) {
				t.Errorf("%s %s, %d bytes, truncated %v", r.Outcome, r.Err, len(r.Result), r.Truncated)
			}
		}
	})
}

// The handler sees all that the host says of a task.
func TestTaskIsSeen(t *testing.T) {
	type seen struct {
		ID, Queue, Type, Key string
		Attempt              int
		MaxAttempts          int   `json:"max_attempts"`
		Run                  int64 `json:",string"`
		Headers              map[string]string
		SubmittedUs          int64 `json:"submitted_us"`
		GrantedUs            int64 `json:"granted_us"`
		LeftUs               int64 `json:"left_us"`
	}
	each(t, func(t *testing.T, p plugin) {
		s := p.start(t, "")
		const timeout = time.Minute
		task := &pluginapi.Task{
			Key: "ann", Attempt: 3, MaxAttempts: 5, Deadline: time.Now().Add(timeout),
			Headers:     map[string]string{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "ä ö": "ü", "empty": ""},
			SubmittedAt: time.UnixMicro(1_700_000_000_000_001), GrantedAt: time.UnixMicro(1_700_000_000_000_002),
			Payload: []byte(`{"reveal": true}`),
		}
		r := s.doTask(task)
		var got seen
		if err := json.Unmarshal(r.Result, &got); err != nil {
			t.Fatalf("%v: %+v", err, r)
		}
		left := time.Duration(got.LeftUs) * time.Microsecond
		if got.ID != task.ID || got.Queue != task.Queue || got.Key != task.Key || got.Attempt != 3 || got.MaxAttempts != 5 || got.Run != task.Fence ||
			!maps.Equal(got.Headers, task.Headers) || got.SubmittedUs != task.SubmittedAt.UnixMicro() || got.GrantedUs != task.GrantedAt.UnixMicro() ||
			left <= timeout-patience || left > timeout {
			t.Errorf("%s", r.Result)
		}
		r = s.do(`{"reveal": true}`)
		if err := json.Unmarshal(r.Result, &got); err != nil || got.LeftUs != 0 {
			t.Errorf("without a bound in time: %v, %+v", err, r)
		}
	})
}

// A plugin that says that it obeys the instants of tasks does.
func TestStartInstants(t *testing.T) {
	each(t, func(t *testing.T, p plugin) {
		s := p.start(t, "")
		if !s.StartsAt() {
			t.Skip("it does not say so")
		}
		for range 20 {
			due := time.Now().Add(3 * time.Millisecond)
			if r := s.between(due, due.Add(time.Minute)); r.Outcome != pluginapi.Done || time.Now().Before(due) {
				t.Errorf("%s, %s before its instant", r.Outcome, time.Until(due))
			}
		}
		long := time.Now().Add(-time.Second)
		if r := s.between(time.Time{}, time.Now().Add(time.Minute)); r.Outcome != pluginapi.Done {
			t.Errorf("at once: %+v", r)
		}
		if r := s.between(time.Time{}, long); r.Outcome != pluginapi.NotStarted {
			t.Errorf("after the last instant: %+v", r)
		}
		if r := s.between(long, long.Add(time.Millisecond)); r.Outcome != pluginapi.NotStarted {
			t.Errorf("after the last instant, with a first one: %+v", r)
		}
		if r := s.between(time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)); r.Outcome != pluginapi.NotStarted {
			t.Errorf("long before its instant: %+v", r)
		}
	})
}
