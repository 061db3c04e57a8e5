package pluginhost_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/runtime/pluginhost"
)

// watched collects what a Supervisor tells.
type watched struct {
	ups     chan *pluginhost.Process
	downs   chan error
	results chan pluginapi.Result
}

func supervise(t *testing.T, spec pluginhost.Spec) (*pluginhost.Supervisor, *watched) {
	t.Helper()
	noLeaks(t)
	w := &watched{
		ups:     make(chan *pluginhost.Process, 100),
		downs:   make(chan error, 100),
		results: make(chan pluginapi.Result, 100),
	}
	s, err := pluginhost.Supervise(t.Context(), spec, pluginhost.Hooks{
		Sink: pluginhost.Sink{Results: func(batch []pluginapi.Result) {
			for _, r := range batch {
				w.results <- r
			}
		}},
		OnUp:   func(p *pluginhost.Process) { w.ups <- p },
		OnDown: func(_ *pluginhost.Process, err error) { w.downs <- err },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop(t.Context()) })
	return s, w
}

func receive[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
	}
	panic("not reached")
}

func TestSupervisorRestartsAtOnceAfterACrash(t *testing.T) {
	s, w := supervise(t, echoSpec(t))
	first := receive(t, w.ups, "the first process")
	begin := time.Now()
	syscall.Kill(first.PID(), syscall.SIGKILL)
	if err := receive(t, w.downs, "the crash"); err == nil {
		t.Error("a crash without an error")
	}
	second := receive(t, w.ups, "the second process")
	if took := time.Since(begin); took > time.Second {
		t.Errorf("up again after %s", took)
	}
	second.Send([]pluginhost.Sending{{Task: &pluginapi.Task{Fence: 1, Payload: []byte("x")}}})
	if r := receive(t, w.results, "a result"); string(r.Result) != "x" {
		t.Errorf("%+v", r)
	}
	state := s.State()
	if state.Phase != pluginhost.Up || state.Restarts != 1 || state.PID != second.PID() || state.LastError == nil || s.Process() != second {
		t.Errorf("%+v", state)
	}
}

func TestSupervisorShowsAFailingPlugin(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "plugin")
	if err := os.Link(echoPath, path); err != nil {
		t.Fatal(err)
	}
	spec := echoSpec(t)
	spec.Path = path
	s, w := supervise(t, spec)
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	syscall.Kill(receive(t, w.ups, "the first process").PID(), syscall.SIGKILL)
	receive(t, w.downs, "the crash")
	eventually(t, patience, "the failing phase", func() bool { return s.State().Phase == pluginhost.Failing })
	if state := s.State(); !errors.Is(state.LastError, os.ErrNotExist) || state.PID != 0 || s.Process() != nil {
		t.Errorf("%+v", state)
	}
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	receive(t, w.ups, "the process that starts again")
	if state := s.State(); state.Phase != pluginhost.Up {
		t.Errorf("%+v", state)
	}
}

func TestSupervisorStops(t *testing.T) {
	s, w := supervise(t, echoSpec(t))
	p := receive(t, w.ups, "the process")
	s.Stop(t.Context())
	if err := receive(t, w.downs, "the end"); err != nil {
		t.Error(err)
	}
	if alive(p.PID()) || s.State().Phase != pluginhost.Stopped || s.Process() != nil {
		t.Errorf("%+v", s.State())
	}
}

func TestSupervisorReturnsTheFirstError(t *testing.T) {
	noLeaks(t)
	_, err := pluginhost.Supervise(t.Context(), part(t, "exit 3"), pluginhost.Hooks{})
	var start *pluginhost.StartError
	if !errors.As(err, &start) {
		t.Error(err)
	}
}
