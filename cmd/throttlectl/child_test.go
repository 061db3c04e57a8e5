package main

import (
	"bytes"
	"os"
	"os/exec"
	"testing"
)

// A test that needs a process of its own, for a signal, a terminal or its memory, runs
// this test binary as throttlectl.
const childEnv = "THROTTLECTL_TEST_CHILD"

// peakEnv names a file that the child writes the line with its peak of memory to. What
// wait4 tells counts the test's own memory, from before the child was the child.
const peakEnv = "THROTTLECTL_TEST_PEAK"

func init() {
	if os.Getenv(childEnv) != "" {
		os.Unsetenv(childEnv)
		code := Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
		if report := os.Getenv(peakEnv); report != "" {
			_ = os.WriteFile(report, peak(), 0o600)
		}
		os.Exit(code)
	}
}

// child is throttlectl on the bench's Redis as a process that is not started yet.
func (b *bench) child(args ...string) *exec.Cmd {
	b.t.Helper()
	cmd := exec.Command(self(b.t), append([]string{"--redis-url", b.server.URL()}, args...)...)
	cmd.Env = append(os.Environ(), childEnv+"=1")
	return cmd
}

func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func peak() []byte {
	text, _ := os.ReadFile("/proc/self/status")
	for line := range bytes.Lines(text) {
		if bytes.HasPrefix(line, []byte("VmHWM:")) {
			return line
		}
	}
	return nil
}
