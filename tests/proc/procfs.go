//go:build linux

package proc

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Children are the live processes whose parent is pid.
func Children(pid int) []int {
	var out []int
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		f := stat(dir)
		if len(f) > 1 && f[0] != "Z" && f[1] == strconv.Itoa(pid) {
			child, _ := strconv.Atoi(filepath.Base(dir))
			out = append(out, child)
		}
	}
	return out
}

// Parent is the process whose child pid is; 0 when it does not run.
func Parent(pid int) int {
	f := stat(fmt.Sprintf("/proc/%d", pid))
	if len(f) < 2 || f[0] == "Z" {
		return 0
	}
	parent, _ := strconv.Atoi(f[1])
	return parent
}

// Zombies are the children of pid that have ended and are not waited for.
func Zombies(pid int) []int {
	var out []int
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		if f := stat(dir); len(f) > 1 && f[0] == "Z" && f[1] == strconv.Itoa(pid) {
			child, _ := strconv.Atoi(filepath.Base(dir))
			out = append(out, child)
		}
	}
	return out
}

// Program is the first word of a process's command line.
func Program(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // it may have ended
	name, _, _ := strings.Cut(string(text), "\x00")
	return name
}

// Files is how many descriptors a process has open.
func Files(pid int) int {
	list, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid)) // none: it has ended
	return len(list)
}

// Alive tells whether a process runs; one that has ended and is not waited for does not.
func Alive(pid int) bool {
	f := stat(fmt.Sprintf("/proc/%d", pid))
	return len(f) > 0 && f[0] != "Z"
}

// CPU is the processor time that the threads of a process have used.
func CPU(tb testing.TB, pid int) time.Duration {
	tb.Helper()
	var total time.Duration
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, path := range threads {
		text, _ := os.ReadFile(path) // the thread may have ended
		ran, _, _ := strings.Cut(string(text), " ")
		ns, _ := strconv.ParseInt(ran, 10, 64)
		total += time.Duration(ns)
	}
	if total == 0 {
		tb.Fatalf("pid %d is gone, or the kernel keeps no schedstat", pid)
	}
	return total
}

// Mono is the clock that the journal's mono_ns is of.
func Mono() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic(err) // every unix has this clock
	}
	return t.Nano()
}

// stat returns the fields of a process's stat from the third, its state, on.
func stat(dir string) []string {
	text, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return nil
	}
	at := bytes.LastIndexByte(text, ')') // the second field, a name, may hold anything
	if at < 0 {
		return nil
	}
	return strings.Fields(string(text[at+1:]))
}

// Kill ends a process that one of ours started, as kill -9 does.
func Kill(tb testing.TB, pid int) {
	tb.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		tb.Errorf("kill pid %d: %v", pid, err)
	}
}

// Memory is what a process has in main memory, in KiB.
func Memory(tb testing.TB, pid int) int64 { return status(tb, pid, "VmRSS:") }

// Threads is how many threads a process has.
func Threads(tb testing.TB, pid int) int64 { return status(tb, pid, "Threads:") }

func status(tb testing.TB, pid int, field string) int64 {
	tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, field); ok {
			n, _ := strconv.ParseInt(strings.Fields(v)[0], 10, 64)
			return n
		}
	}
	tb.Fatalf("/proc/%d/status has no %s", pid, field)
	return 0
}
