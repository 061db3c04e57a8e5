package pluginhost_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// modeEnv makes the test binary play a part instead of running tests.
const modeEnv = "PLUGINHOST_TEST_MODE"

var echoPath string // the echo plugin, built once

func TestMain(m *testing.M) {
	if part, ok := parts[os.Getenv(modeEnv)]; ok {
		part()
		return
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "ph")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	echoPath = filepath.Join(dir, "echo")
	build := exec.Command("go", "build", "-o", echoPath, "github.com/throttlerd/throttlerd/plugins/echo")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build echo:", err)
		return 1
	}
	return m.Run()
}
