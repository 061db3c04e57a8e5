//go:build linux

// Package proc runs the product's own binaries for tests: it builds them once, starts
// them, signals them by their process id, and reads what plugin echo writes down. It
// looks into no package of the product.
package proc

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Binaries are the programs under test.
type Binaries struct {
	Throttlerd  string
	Throttlectl string // "" while there is none
	PluginDir   string
}

var (
	buildDir string
	built    = sync.OnceValues(buildAll)
)

// Build returns the binaries, built at the first call of a test run.
func Build(tb testing.TB) Binaries {
	tb.Helper()
	b, err := built()
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// Main runs the tests of a package that uses Build, and cleans up after them.
func Main(m *testing.M) int {
	defer func() {
		if buildDir != "" {
			os.RemoveAll(buildDir)
		}
	}()
	return m.Run()
}

func buildAll() (Binaries, error) {
	dir, err := os.MkdirTemp("", "throttlerd-test-")
	if err != nil {
		return Binaries{}, err
	}
	buildDir = dir
	b := Binaries{Throttlerd: filepath.Join(dir, "throttlerd"), PluginDir: filepath.Join(dir, "plugins")}
	if err := build(b.PluginDir+"/", "./plugins/echo", "./plugins/webhook"); err != nil {
		return b, err
	}
	if err := build(dir+"/", "./cmd/throttlerd"); err != nil {
		return b, err
	}
	if err := build(dir+"/", "./cmd/throttlectl"); err == nil {
		b.Throttlectl = filepath.Join(dir, "throttlectl")
	}
	return b, nil
}

func build(out string, packages ...string) error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	cmd := exec.Command("go", append([]string{"build", "-o", out}, packages...)...)
	cmd.Dir = root
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %v: %w\n%s", packages, err, text)
	}
	return nil
}

// moduleRoot is the nearest directory above the test's that holds go.mod.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod above the test's directory")
		}
		dir = parent
	}
}
