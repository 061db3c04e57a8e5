package main

import (
	"os"
	"os/exec"
	"testing"
)

// A test that needs a process of its own, for a signal, a terminal or its memory, runs
// this test binary as throttlectl.
const childEnv = "THROTTLECTL_TEST_CHILD"

func init() {
	if os.Getenv(childEnv) != "" {
		os.Unsetenv(childEnv)
		os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
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
