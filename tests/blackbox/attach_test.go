//go:build linux

package blackbox

import (
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/tests/proc"
)

// A plugin that was started by hand serves the workers that attach to it, is neither
// stopped nor killed by them, and when it has ended the handler is down until it is back.
func TestAttachedPlugin(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	plugin := proc.StartProgram(t, nil, filepath.Join(s.plugins, "echo"), "-debug")
	plugin.WaitLog("Ctrl-C ends it", 10*time.Second)
	setting := regexp.MustCompile(`export (THROTTLE_REATTACH_HANDLERS)='(.*)'`).FindStringSubmatch(plugin.Log())
	if setting == nil {
		t.Fatal("it does not say how to attach to it")
	}
	file := s.file(s.echo(), queue("jobs"))
	run := func() *proc.Process {
		t.Helper()
		w := proc.StartProgram(t, []string{setting[1] + "=" + setting[2]}, proc.Build(t).Throttlerd, "run", "-c", file)
		w.WaitServing()
		return w
	}

	w := run()
	ids := s.submit("jobs", 50, "{}")
	s.waitDone("jobs", 50, 10*time.Second)
	s.once(ids)
	for _, e := range s.journal.Starts() {
		if e.PID != plugin.PID {
			t.Fatalf("a task ran in process %d, not in %d", e.PID, plugin.PID)
		}
	}
	if got := proc.Children(w.PID); len(got) != 0 {
		t.Errorf("the worker has started %v", got)
	}

	w.Signal(syscall.SIGTERM)
	if code := w.Wait(10 * time.Second); code != 0 {
		t.Errorf("the worker ended with %d", code)
	}
	if !proc.Alive(plugin.PID) {
		t.Fatal("the plugin has ended with the worker")
	}

	w = run()
	task := s.submit("jobs", 1, "{}")[0]
	s.waitState(task, "done", 10*time.Second)

	plugin.Signal(syscall.SIGINT)
	if code := plugin.Wait(10 * time.Second); code != 0 {
		t.Errorf("the plugin ended with %d", code)
	}
	w.WaitLog("there is no plugin at", 10*time.Second)
	waits := s.submit("jobs", 1, "{}")[0]
	s.waitState(waits, "waiting", time.Second)
}
