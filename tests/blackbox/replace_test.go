//go:build linux

package blackbox

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/tests/proc"
)

// ownPlugins is a plugin directory of the test's own, in which it may change what it likes.
func (s *site) ownPlugins(names ...string) string {
	s.Helper()
	dir := s.TempDir()
	for _, name := range names {
		s.install(filepath.Join(proc.Build(s).PluginDir, name), filepath.Join(dir, name))
	}
	return dir
}

// install puts a copy of a binary where a plugin is, in one step as a deployment does.
func (s *site) install(from, to string) {
	s.Helper()
	content, err := os.ReadFile(from)
	s.must(err)
	s.must(os.WriteFile(to+".new", content, 0o755))
	s.must(os.Rename(to+".new", to))
}

// A new binary is rolled in by SIGHUP while 500 tasks start each second; then one that
// does not work, which changes nothing.
func TestPluginReplacedUnderLoad(t *testing.T) {
	s := newSite(t)
	dir := s.ownPlugins("echo")
	s.plugins = dir
	w := proc.Worker(t, s.file(s.echo("instances = 2"), queue("jobs", `rate = "500/1s:10"`)))
	old := proc.Children(w.PID)
	if len(old) != 2 {
		t.Fatalf("%d processes", len(old))
	}

	const tasks = 3500
	ids := s.submit("jobs", tasks, `{"sleep": "40ms"}`)
	s.journal.WaitStarts(1000, 20*time.Second)
	s.install(filepath.Join(proc.Build(t).PluginDir, "echo"), filepath.Join(dir, "echo"))
	w.Signal(syscall.SIGHUP)
	w.WaitLog("plugin replaced", 20*time.Second)
	proc.Eventually(t, 10*time.Second, "the old processes leave", func() bool { return !proc.Alive(old[0]) && !proc.Alive(old[1]) })
	fresh := proc.Children(w.PID)

	s.must(os.WriteFile(filepath.Join(dir, "echo.new"), []byte("#!/bin/sh\necho no licence >&2\nexit 3\n"), 0o755))
	s.must(os.Rename(filepath.Join(dir, "echo.new"), filepath.Join(dir, "echo")))
	w.Signal(syscall.SIGHUP)
	w.WaitLog("plugin not replaced: the old one goes on", 20*time.Second)
	s.waitDone("jobs", tasks, 30*time.Second)
	if now := proc.Children(w.PID); len(now) != 2 || fmt.Sprint(now) != fmt.Sprint(fresh) {
		t.Errorf("processes %v became %v", fresh, now)
	}
	s.once(ids)
	s.bound("500/1s:10", s.journal.Starts())
	by := map[bool]int{}
	var latest time.Duration
	for _, e := range s.journal.Starts() {
		by[e.PID == old[0] || e.PID == old[1]]++
		latest = max(latest, e.Late())
	}
	if q := s.show("jobs"); q.Dead != 0 || q.Failed != 0 || latest > 250*time.Millisecond || strings.Contains(w.Log(), "would start late") {
		t.Errorf("%d dead, %d failed, latest start %v after its grant", q.Dead, q.Failed, latest)
	}
	if by[true] < 1000 || by[false] < 1000 {
		t.Errorf("%d tasks in the old processes, %d in the new ones", by[true], by[false])
	}
	t.Logf("figure: %d tasks in the old processes, %d in the new ones; latest start %v after its grant", by[true], by[false], latest)
	s.stop(w, 20*time.Second)
}

// One of three processes dies: the tasks that ran in it run again, all others once.
func TestInstancesDieAlone(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	w := proc.Worker(t, s.file(s.echo("instances = 3"), queue("jobs")))
	pids := proc.Children(w.PID)
	if len(pids) != 3 {
		t.Fatalf("%d processes", len(pids))
	}
	const tasks = 30
	ids := s.submit("jobs", tasks, `{"sleep": "1s"}`)
	starts := s.journal.WaitStarts(tasks, 10*time.Second)
	in := map[int]int{}
	for _, e := range starts {
		in[e.PID]++
	}
	if in[pids[0]] != 10 || in[pids[1]] != 10 || in[pids[2]] != 10 {
		t.Errorf("tasks in each process: %v", in)
	}
	proc.Kill(t, pids[1])
	s.waitDone("jobs", tasks, 15*time.Second)
	runs := map[string]int{}
	for _, e := range s.journal.Starts() {
		runs[e.Task]++
	}
	for _, e := range starts {
		want := 1
		if e.PID == pids[1] {
			want = 2
		}
		if runs[e.Task] != want {
			t.Errorf("task %s of process %d ran %d times, not %d", e.Task, e.PID, runs[e.Task], want)
		}
	}
	s.audit("jobs", ids)
	proc.Eventually(t, 5*time.Second, "three processes again", func() bool { return len(proc.Children(w.PID)) == 3 })
}
