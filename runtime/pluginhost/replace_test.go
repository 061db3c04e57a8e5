package pluginhost_test

import (
	"errors"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/runtime/pluginhost"
)

// troupe collects what a Group tells.
type troupe struct {
	*pluginhost.Group
	results chan pluginapi.Result
	downs   chan *pluginhost.Process

	mu     sync.Mutex
	taking []*pluginhost.Process
}

func superviseGroup(t *testing.T, n int, spec pluginhost.Spec) *troupe {
	t.Helper()
	noLeaks(t)
	x := &troupe{results: make(chan pluginapi.Result, 100), downs: make(chan *pluginhost.Process, 100)}
	g, err := pluginhost.SuperviseGroup(t.Context(), n, spec, pluginhost.Hooks{
		Sink: pluginhost.Sink{Results: func(batch []pluginapi.Result) {
			for _, r := range batch {
				x.results <- r
			}
		}},
		OnUp:     func(p *pluginhost.Process) { x.change(p, true) },
		OnRetire: func(p *pluginhost.Process) { x.change(p, false) },
		OnDown: func(p *pluginhost.Process, _ error) {
			x.change(p, false)
			x.downs <- p
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	x.Group = g
	t.Cleanup(func() { g.Stop(t.Context()) })
	return x
}

func (x *troupe) change(p *pluginhost.Process, takes bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	kept := x.taking[:0:0]
	for _, q := range x.taking {
		if q != p {
			kept = append(kept, q)
		}
	}
	if takes {
		kept = append(kept, p)
	}
	x.taking = kept
}

// present are the processes that take tasks.
func (x *troupe) present() []*pluginhost.Process {
	x.mu.Lock()
	defer x.mu.Unlock()
	return append([]*pluginhost.Process(nil), x.taking...)
}

func TestTheOldProcessFinishesAfterTheNewOneTookOver(t *testing.T) {
	spec := echoSpec(t)
	x := superviseGroup(t, 1, spec)
	old := x.present()[0]
	old.Send([]pluginhost.Sending{{Task: &pluginapi.Task{Fence: 1, Payload: []byte(`{"sleep": "300ms"}`)}}})
	if err := x.Replace(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	fresh := x.present()
	if len(fresh) != 1 || fresh[0] == old || !alive(old.PID()) {
		t.Fatalf("%d take tasks; the old one is alive: %v", len(fresh), alive(old.PID()))
	}
	fresh[0].Send([]pluginhost.Sending{{Task: &pluginapi.Task{Fence: 2, Payload: []byte("new")}}})
	if r := receive(t, x.results, "the result of the new one"); r.Run != 2 {
		t.Errorf("%+v", r)
	}
	if r := receive(t, x.results, "the result of the old one"); r.Run != 1 || r.Outcome != pluginapi.Done {
		t.Errorf("%+v", r)
	}
	if p := receive(t, x.downs, "the end of the old one"); p != old || p.Err() != nil || alive(p.PID()) {
		t.Errorf("%v %v", p == old, p.Err())
	}
	if s := x.States()[0]; s.Phase != pluginhost.Up || s.PID != fresh[0].PID() || s.Restarts != 0 || s.LastError != nil {
		t.Errorf("%+v", s)
	}
}

func TestANewOneThatDoesNotComeUpChangesNothing(t *testing.T) {
	spec := part(t, "exit 3")
	x := superviseGroup(t, 3, echoSpec(t))
	before := x.present()
	err := x.Replace(t.Context(), spec)
	var start *pluginhost.StartError
	if !errors.As(err, &start) || !strings.Contains(err.Error(), "exited with code 3") {
		t.Errorf("%v", err)
	}
	after := x.present()
	for i := range before {
		if len(after) != 3 || after[i] != before[i] || !alive(after[i].PID()) {
			t.Fatalf("%v became %v", before, after)
		}
	}
	for _, s := range x.States() {
		if s.Phase != pluginhost.Up || !errors.Is(s.LastError, err) || strings.Join(s.Stderr, "") != "no licence found" {
			t.Errorf("%+v", s)
		}
	}
	syscall.Kill(before[0].PID(), syscall.SIGKILL)
	receive(t, x.downs, "a crash")
	eventually(t, patience, "a third process, of the old plugin", func() bool { return len(x.present()) == 3 })
	for _, s := range x.States() {
		if s.Info.Name != "echo" {
			t.Errorf("%+v", s)
		}
	}
}

// A plugin that fails need not wait for its backoff when a new one is at hand, nor for
// a start that hangs.
func TestReplaceEndsTheWaitOfAFailingPlugin(t *testing.T) {
	spec, good := part(t, "once"), echoSpec(t)
	spec.Env["ONCE"] = t.TempDir() + "/marker"
	x := superviseGroup(t, 1, spec)
	syscall.Kill(x.present()[0].PID(), syscall.SIGKILL)
	receive(t, x.downs, "the crash")
	eventually(t, patience, "the start that hangs", func() bool { return x.States()[0].Restarts == 1 })
	if err := x.Replace(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	if s := x.States()[0]; s.Phase != pluginhost.Up || s.Info.Name != "echo" {
		t.Errorf("%+v", s)
	}
}

func TestReplaceAllOfAGroup(t *testing.T) {
	next := part(t, "scripted")
	x := superviseGroup(t, 3, echoSpec(t))
	before := x.present()
	if err := x.Replace(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	for range before {
		receive(t, x.downs, "the end of an old one")
	}
	for _, p := range before {
		if alive(p.PID()) {
			t.Error("an old one is left")
		}
	}
	if now := x.present(); len(now) != 3 {
		t.Errorf("%d processes", len(now))
	}
	for _, s := range x.States() {
		if s.Info.Name != "scripted" || s.Phase != pluginhost.Up {
			t.Errorf("%+v", s)
		}
	}
}
