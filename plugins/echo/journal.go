package main

import (
	"encoding/json"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/throttlerd/throttlerd/pluginapi"
)

// clocks is one instant on both clocks.
type clocks struct {
	wallUs int64 // since 1970
	monoNs int64 // CLOCK_MONOTONIC, the same for every process of the machine
}

// fixed is one instant on CLOCK_MONOTONIC and on Go's monotonic clock, which go alike: looked
// for at each instant, a process that is set aside between the two would take it for another.
// It is the best of a few looks, for the same reason.
var fixed = sync.OnceValue(func() (best struct {
	local  time.Time
	monoNs int64
}) {
	shortest := time.Hour
	for range 10 {
		from := time.Now()
		var mono unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono); err != nil {
			panic(err) // every unix has this clock
		}
		if d := time.Since(from); d < shortest {
			shortest, best.local, best.monoNs = d, from, mono.Nano()
		}
	}
	return best
})

// clocksAt is an instant from time.Now on both.
func clocksAt(t time.Time) clocks {
	f := fixed()
	return clocks{wallUs: t.UnixMicro(), monoNs: f.monoNs + t.Sub(f.local).Nanoseconds()}
}

// entry is one line of a journal.
type entry struct {
	Event   string `json:"ev"` // "start" or "finish"
	Task    string `json:"task"`
	Queue   string `json:"queue"`
	Key     string `json:"key"`
	Attempt int    `json:"attempt"`
	Fence   int64  `json:"fence"`
	GrantUs int64  `json:"grant_us"` // engine time: the instant its tokens were taken
	StartUs int64  `json:"start_us"` // when the handler was entered, by the wall clock
	Worker  int    `json:"worker"`   // the process that started this one
	PID     int    `json:"pid"`
	WallUs  int64  `json:"wall_us"`
	MonoNs  int64  `json:"mono_ns"`
	Outcome string `json:"outcome,omitempty"`
}

// journals holds the journal files by path. A line is one write of less than
// 4 KiB to a file opened for appending, so processes may share a journal.
type journals struct {
	mu    sync.Mutex
	files map[string]*os.File
}

// open makes sure that the journal can be written.
func (j *journals) open(path string) error {
	_, err := j.file(path)
	return err
}

func (j *journals) start(path string, t *pluginapi.Task, at clocks) error {
	return j.write(path, t, entry{Event: "start", StartUs: at.wallUs, WallUs: at.wallUs, MonoNs: at.monoNs})
}

// finish ends the run's entry. Its error has nobody to go to but the log: the
// outcome of the task is settled.
func (j *journals) finish(path string, t *pluginapi.Task, entered clocks, outcome string) {
	at := clocksAt(time.Now())
	e := entry{Event: "finish", StartUs: entered.wallUs, WallUs: at.wallUs, MonoNs: at.monoNs, Outcome: outcome}
	if err := j.write(path, t, e); err != nil {
		t.Log.Error("journal", "error", err)
	}
}

func (j *journals) write(path string, t *pluginapi.Task, e entry) error {
	f, err := j.file(path)
	if err != nil {
		return err
	}
	const longestKey = 512 // keeps the line under 4 KiB, however it is escaped
	e.Task, e.Queue, e.Key = t.ID, t.Queue, t.Key[:min(len(t.Key), longestKey)]
	e.Attempt, e.Fence, e.Worker, e.PID = t.Attempt, t.Fence, os.Getppid(), os.Getpid()
	e.GrantUs = t.GrantedAt.UnixMicro()
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return err
}

func (j *journals) file(path string) (*os.File, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if f := j.files[path]; f != nil {
		return f, nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	if j.files == nil {
		j.files = make(map[string]*os.File)
	}
	j.files[path] = f
	return f, nil
}
