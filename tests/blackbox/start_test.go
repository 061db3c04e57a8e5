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

// slowStart makes plugin echo start when it is told to, and waits until a worker has begun to
// start it: closing what it returns tells it.
func (s *site) slowStart(file string) (w *proc.Process, gate *os.File) {
	s.Helper()
	dir := s.TempDir()
	fifo := filepath.Join(dir, "gate")
	s.must(syscall.Mkfifo(fifo, 0o600))
	script := fmt.Sprintf("#!/bin/sh\nread line <%s\nexec %s\n", fifo, filepath.Join(proc.Build(s).PluginDir, "echo"))
	s.must(os.WriteFile(filepath.Join(s.plugins, "echo"), []byte(script), 0o755))
	w = proc.Start(s, "run", "-c", file)
	gate, err := os.OpenFile(fifo, os.O_WRONLY, 0) // waits for who reads
	s.must(err)
	return w, gate
}

// What a SIGHUP brings while plugins start is not undone by the end of the start.
func TestReloadDuringTheStart(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.plugins = t.TempDir()
	file := s.file(s.echo(), queue("a", `rate = "100/1s"`))
	w, gate := s.slowStart(file)
	s.rewrite(file, s.echo(), queue("a", `rate = "10/1s:3"`))
	w.Signal(syscall.SIGHUP)
	w.WaitLog("files read again", 5*time.Second)
	s.must(gate.Close())
	w.WaitServing()
	w.WaitLog("reloaded", 5*time.Second)
	if q := s.show("a"); q.Rates.String() != "10/1s:3" {
		t.Errorf("queue a has rate %s, the file says 10/1s:3", q.Rates)
	}
}

// A stop while plugins start is a stop, and no fault of theirs.
func TestStopDuringTheStart(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.plugins = t.TempDir()
	w, gate := s.slowStart(s.file(s.echo(), queue("a")))
	defer gate.Close()
	w.Signal(syscall.SIGTERM)
	if code := w.Wait(5 * time.Second); code != 0 || strings.Contains(w.Log(), "does not start") {
		t.Errorf("exit code %d:\n%s", code, w.Log())
	}
}
