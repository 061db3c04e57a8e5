//go:build linux

package blackbox

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/runtime/config"
	"github.com/throttlerd/throttlerd/scheduler"
	"github.com/throttlerd/throttlerd/tests/proc"
)

// A worker of all pools serves one that a reload brings.
func TestReloadBringsANewPool(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := s.file(s.echo(), queue("one"))
	w := proc.Worker(t, file, "--pool", "*")
	s.waitState(s.submit("one", 1, "{}")[0], "done", 5*time.Second)
	s.rewrite(file, s.echo(), queue("one"), queue("four", `pool = "new"`))
	w.Signal(syscall.SIGHUP)
	s.waitQueue("four")
	began := time.Now()
	s.waitState(s.submit("four", 1, "{}")[0], "done", 10*time.Second)
	took := time.Since(began)
	t.Logf("figure: a task in a pool that is new is done after %v", took.Round(time.Millisecond))
	if took > 3*time.Second { // the pools are read each second
		t.Errorf("a task in a pool that is new was done after %v", took)
	}
}

// A file with a mistake changes nothing; a queue that left the file comes back with it.
func TestReloadIsAllOrNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := s.file(s.echo(), queue("kept", `rate = "1/1h"`), queue("leaves"))
	w := proc.Worker(t, file)
	before := s.worker().ConfigHash
	kept := s.submit("kept", 10, "{}")
	s.waitDone("kept", 1, 5*time.Second)
	s.waitState(s.submit("leaves", 1, "{}")[0], "done", 5*time.Second)

	// a file with a mistake changes nothing
	s.rewrite(file, s.echo(), queue("kept", `rate = "often"`), queue("added"))
	w.Signal(syscall.SIGHUP)
	w.WaitLog("reload refused", 5*time.Second)
	if q := s.show("kept"); q.Rates.String() != "1/1h" {
		t.Errorf("rate %s after a refused reload", q.Rates)
	}
	if q := s.show("leaves"); q.Undeclared {
		t.Error("a refused reload undeclared a queue")
	}
	if _, err := s.client.Queue(s.ctx(), "added"); err == nil {
		t.Error("a refused reload added a queue")
	}

	s.rewrite(file, s.echo(), queue("kept", `rate = "100/1s:10"`), queue("added"))
	w.Signal(syscall.SIGHUP)
	s.waitQueue("added")
	s.waitState(s.submit("added", 1, "{}")[0], "done", 5*time.Second)
	s.waitDone("kept", 10, 5*time.Second)
	proc.Eventually(t, 5*time.Second, "the worker announces the hash of the new file", func() bool { return s.worker().ConfigHash != before })
	s.audit("kept", kept)
	proc.Eventually(t, 5*time.Second, "the queue that left the file is held", func() bool { return s.show("leaves").Undeclared })
	id := s.submit("leaves", 1, "{}")[0]
	s.rewrite(file, s.echo(), queue("kept", `rate = "100/1s:10"`), queue("added"), queue("leaves"))
	if got := s.task(id); got.State != "waiting" {
		t.Errorf("%+v", got)
	}
	w.Signal(syscall.SIGHUP)
	s.waitState(id, "done", 5*time.Second)
	if w.Exited() {
		t.Error("the worker ended")
	}
}

// worker is the one that is known.
func (s *site) worker() scheduler.Worker {
	s.Helper()
	workers, err := s.client.Workers(s.ctx())
	s.must(err)
	if len(workers) != 1 {
		s.Fatalf("%d workers: %+v", len(workers), workers)
	}
	return workers[0]
}

func (s *site) waitQueue(name string) {
	s.Helper()
	proc.Eventually(s, 5*time.Second, "queue "+name+" is there", func() bool {
		_, err := s.client.Queue(s.ctx(), name)
		return err == nil
	})
}

// A plugin that refuses its part of a changed file goes on with the one before; the log says
// where in the file, and the worker's hash, and the doctor, that it is so. Queues and limits of
// that file are in force.
func TestReloadThatThePluginRefuses(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := s.file(s.echo(), queue("a", `rate = "1/1h"`))
	w := proc.Worker(t, file)
	bad := fmt.Sprintf("handler \"echo\" {\nconfig {\njournal = %q\njornal = 1\n}\n}\n", s.journal.Path)
	s.rewrite(file, bad, queue("a", `rate = "2/1h"`))
	w.Signal(syscall.SIGHUP)
	w.WaitLog("plugin keeps the configuration of before", 10*time.Second)
	if !strings.Contains(w.Log(), filepath.Base(file)+":7") {
		t.Errorf("the log does not name the line:\n%s", w.Log())
	}
	proc.Eventually(t, 5*time.Second, "the hash says so", func() bool { return strings.HasSuffix(s.worker().ConfigHash, config.OldPlugins) })
	if q := s.show("a"); q.Rates.String() != "2/1h" {
		t.Errorf("queue a has rate %s", q.Rates)
	}
	if r := proc.Ctl(t, "-c", file, "doctor"); !strings.Contains(r.Stdout, "refused the one of its file") {
		t.Errorf("the doctor says:\n%s%s", r.Stdout, r.Stderr)
	}
	s.waitState(s.submit("a", 1, "{}")[0], "done", 5*time.Second)
	s.rewrite(file, s.echo(), queue("a"))
	w.Signal(syscall.SIGHUP)
	proc.Eventually(t, 10*time.Second, "the mended file is in force", func() bool {
		return !strings.HasSuffix(s.worker().ConfigHash, config.OldPlugins) && len(s.show("a").Rates) == 0
	})
}
