//go:build linux

package pluginconformance

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/runtime/pluginhost"
	"github.com/throttlerd/throttlerd/tests/proc"
)

const patience = 30 * time.Second // no event of a test takes so long

// firstRun is more than a float of 64 bits holds exactly.
const firstRun = 1<<53 + 1

// session is one process of a plugin, which leaves well at the end of its test.
type session struct {
	*testing.T
	*pluginhost.Process
	log      *proc.Output
	results  chan pluginapi.Result
	progress chan pluginapi.Progress
	next     int64 // the number of the next run
	ended    bool  // the test has made an end of it
}

func (p plugin) spec(t *testing.T, config string) pluginhost.Spec {
	return pluginhost.Spec{Handler: "h", Path: p.path, Env: p.env, MTLS: p.mtls, Config: []byte(config), RunDir: runDir(t)}
}

// runDir is a short directory that is empty at the end of the test.
func runDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "pc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left in the run directory: %v, %v", left, err)
		}
		os.RemoveAll(dir)
	})
	return dir
}

// start starts the plugin with a config block.
func (p plugin) start(t *testing.T, config string) *session {
	t.Helper()
	s := &session{
		T: t, log: &proc.Output{}, next: firstRun,
		results: make(chan pluginapi.Result, 20_000), progress: make(chan pluginapi.Progress, 1000),
	}
	spec := p.spec(t, config)
	spec.Log = hclog.New(&hclog.LoggerOptions{Output: s.log, Level: hclog.Info})
	var err error
	s.Process, err = pluginhost.Start(t.Context(), spec, pluginhost.Sink{
		Results: func(batch []pluginapi.Result) {
			for _, r := range batch {
				s.results <- r
			}
		},
		Progress: func(batch []pluginapi.Progress) {
			for _, p := range batch {
				s.progress <- p
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.leaves)
	return s
}

// leaves sees to it that the process goes when it is told to, and that nothing of it is
// left.
func (s *session) leaves() {
	s.drain()
	if err := s.Err(); err != nil && !s.ended {
		s.Errorf("it did not leave well: %v", err)
	}
	if proc.Alive(s.PID()) {
		s.Errorf("process %d is still there", s.PID())
	}
	if len(s.results) > 0 {
		s.Errorf("a result that nobody waits for: %+v", <-s.results)
	}
	if s.Failed() {
		s.Logf("its log:\n%s", s.log.String())
	}
}

// drain lets the process finish what runs and leave, or kills it when it does not.
func (s *session) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s.Stop(ctx)
}

// send sends tasks in one batch, gives them their runs, and returns the first of those.
func (s *session) send(tasks ...*pluginapi.Task) int64 {
	first := s.next
	batch := make([]pluginhost.Sending, 0, len(tasks))
	for _, t := range tasks {
		t.Fence = s.next
		t.ID, t.Queue, t.Attempt = fmt.Sprint("t", s.next-firstRun), "q", max(t.Attempt, 1)
		s.next++
		batch = append(batch, pluginhost.Sending{Task: t})
	}
	s.Send(batch)
	return first
}

// between runs a task that is to begin between two instants.
func (s *session) between(notBefore, notAfter time.Time) pluginapi.Result {
	s.next++
	s.Send([]pluginhost.Sending{{
		Task:      &pluginapi.Task{ID: "t", Queue: "q", Attempt: 1, Fence: s.next - 1, Payload: []byte(`{"verb": "done"}`)},
		NotBefore: notBefore, NotAfter: notAfter,
	}})
	return s.result()
}

func (s *session) sendPayload(payload string) int64 {
	return s.send(&pluginapi.Task{Payload: []byte(payload)})
}

// do runs one task to its end.
func (s *session) do(payload string) pluginapi.Result {
	s.Helper()
	return s.doTask(&pluginapi.Task{Payload: []byte(payload)})
}

func (s *session) doTask(t *pluginapi.Task) pluginapi.Result {
	s.Helper()
	run := s.send(t)
	r := s.result()
	if r.Run != run {
		s.Fatalf("a result of run %d, not of %d", r.Run, run)
	}
	return r
}

// result is the next result.
func (s *session) result() pluginapi.Result {
	s.Helper()
	select {
	case r := <-s.results:
		return r
	case <-s.Done():
		s.Fatalf("no result, the process ended: %v", s.Err())
	case <-time.After(patience):
		s.Fatal("no result")
	}
	panic("not reached")
}
