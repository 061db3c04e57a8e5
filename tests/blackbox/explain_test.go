//go:build linux

package blackbox

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/tests/proc"
)

// explained is what throttlectl task explain --json prints.
type explained struct {
	State, Reason, Why string
	Worker             string
	Running            *float64   `json:"running_seconds"`
	Timeout            *time.Time `json:"timeout_at"`
	Progress           *struct{ Note string }
	LastError          string `json:"last_error"`
	Steps              []struct{ Command string }
}

func (s *site) explain(id string) (e explained) {
	s.Helper()
	r := proc.Ctl(s, "--redis-url", s.redis.URL(), "--namespace", namespace, "task", "explain", id, "--json")
	if err := json.Unmarshal([]byte(r.Stdout), &e); err != nil || r.Code != 0 {
		s.Fatalf("%v: exit %d\n%s%s", err, r.Code, r.Stdout, r.Stderr)
	}
	return e
}

// because waits until a task is explained by a reason.
func (s *site) because(id, reason string) (e explained) {
	s.Helper()
	proc.Eventually(s, 30*time.Second, "task "+id+" is explained by "+reason, func() bool {
		e = s.explain(id)
		return e.Reason == reason
	})
	return e
}

// What is said of a task is so, with a real worker: the one that runs, the one behind it for
// want of a slot, and both when the worker stands still and when it goes.
func TestTaskExplain(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := s.file(`lease = "3s"`, s.echo("concurrency = 1"), queue("jobs", "retry {\nmax_attempts = 1\n}"))
	w := proc.Worker(t, file)
	first, second := s.submit("jobs", 1, `{"sleep": "30s"}`)[0], s.submit("jobs", 1, `{"sleep": 5}`)[0]
	e := s.because(first, "running")
	if e.Worker != w.ID() || e.Running == nil || e.Timeout == nil || e.State != "running" {
		t.Errorf("%+v", e)
	}
	if e := s.because(second, "no_slots"); !strings.Contains(e.Why, `no slot of handler "echo" is free: 1 slot on 1 live worker`) {
		t.Errorf("%+v", e)
	}
	w.Signal(syscall.SIGSTOP)
	s.because(first, "worker_lost")
	s.because(second, "no_worker")
	w.Kill()
	next := proc.Worker(t, file)
	// at first under the old lease, which an outage of the last worker renews
	proc.Eventually(t, 30*time.Second, "the next worker runs it", func() bool { return s.explain(first).Worker == next.ID() })
	r := proc.Ctl(t, "--redis-url", s.redis.URL(), "--namespace", namespace, "task", "cancel", first)
	if r.Code != 0 {
		t.Errorf("%+v", r)
	}
	s.because(first, "cancelled")
	if e := s.because(second, "dead"); e.LastError == "" || e.Steps[0].Command != "throttlectl task retry "+second {
		t.Errorf("%+v", e)
	}
}
