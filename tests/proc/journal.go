//go:build linux

package proc

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Entry is one line of the journal that plugin echo writes.
type Entry struct {
	Event   string `json:"ev"` // "start" or "finish"
	Task    string `json:"task"`
	Queue   string `json:"queue"`
	Key     string `json:"key"`
	Attempt int    `json:"attempt"`
	Fence   int64  `json:"fence"`
	GrantUs int64  `json:"grant_us"` // the instant its tokens were taken, by the engine's clock
	StartUs int64  `json:"start_us"` // when the handler was entered, by the wall clock
	Worker  int    `json:"worker"`   // the plugin's parent process
	PID     int    `json:"pid"`      // of the plugin
	WallUs  int64  `json:"wall_us"`
	MonoNs  int64  `json:"mono_ns"`
	Outcome string `json:"outcome"`
}

// Late is how long after its grant a start was.
func (e Entry) Late() time.Duration { return time.Duration(e.StartUs-e.GrantUs) * time.Microsecond }

// Journal reads the file as it grows.
type Journal struct {
	Path    string
	tb      testing.TB
	read    int64
	entries []Entry
	starts  int
}

// NewJournal returns a journal that no plugin has written to yet.
func NewJournal(tb testing.TB) *Journal {
	return &Journal{tb: tb, Path: filepath.Join(tb.TempDir(), "journal")}
}

// Entries are all lines written so far, in their order.
func (j *Journal) Entries() []Entry {
	j.tb.Helper()
	f, err := os.Open(j.Path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		j.tb.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Seek(j.read, io.SeekStart); err != nil {
		j.tb.Fatal(err)
	}
	text, err := io.ReadAll(f)
	if err != nil {
		j.tb.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		if line[len(line)-1] != '\n' {
			break // being written
		}
		j.read += int64(len(line))
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			j.tb.Fatalf("journal: %v: %s", err, line)
		}
		j.entries = append(j.entries, e)
		if e.Event == "start" {
			j.starts++
		}
	}
	return j.entries
}

// Starts are the starts so far, of all tasks or of those for which keep holds.
func (j *Journal) Starts(keep ...func(Entry) bool) []Entry { return j.of("start", keep) }

// Finishes are the finishes so far.
func (j *Journal) Finishes(keep ...func(Entry) bool) []Entry { return j.of("finish", keep) }

func (j *Journal) of(event string, keep []func(Entry) bool) []Entry {
	var out []Entry
	for _, e := range j.Entries() {
		ok := e.Event == event
		for _, k := range keep {
			ok = ok && k(e)
		}
		if ok {
			out = append(out, e)
		}
	}
	return out
}

// WaitStarts waits until n starts are written down, and returns them all.
func (j *Journal) WaitStarts(n int, limit time.Duration) []Entry {
	j.tb.Helper()
	j.wait(n, limit)
	return j.Starts()
}

// WaitMore waits until n more starts are written down.
func (j *Journal) WaitMore(n int, limit time.Duration) {
	j.tb.Helper()
	j.Entries()
	j.wait(j.starts+n, limit)
}

func (j *Journal) wait(n int, limit time.Duration) {
	j.tb.Helper()
	deadline := time.Now().Add(limit)
	for j.Entries(); j.starts < n; j.Entries() {
		if time.Now().After(deadline) {
			j.tb.Fatalf("only %d of %d starts within %v", j.starts, n, limit)
		}
		time.Sleep(3 * time.Millisecond) // between two looks at another process
	}
}

// OfTask keeps the entries of one task.
func OfTask(id string) func(Entry) bool { return func(e Entry) bool { return e.Task == id } }

// OfQueue keeps the entries of one queue.
func OfQueue(name string) func(Entry) bool { return func(e Entry) bool { return e.Queue == name } }
