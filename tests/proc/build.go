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

// Binaries are the programs that nearly every test needs.
type Binaries struct {
	Throttlerd string
	PluginDir  string
}

var (
	directory = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "throttlerd-test-") })
	daemon    = sync.OnceValues(buildDaemon)
	ctl       = sync.OnceValues(buildCtl)
	rogue     = sync.OnceValues(func() (string, error) { return buildRogue("1.0.0") })
	newRogue  = sync.OnceValues(func() (string, error) { return buildRogue("2.0.0") })
)

// Build returns the binaries, built at the first call of a test run.
func Build(tb testing.TB) Binaries {
	tb.Helper()
	return must(tb, daemon)
}

// Programs is the directory of throttlerd and throttlectl, with the plugins in plugins/.
func Programs(tb testing.TB) string {
	tb.Helper()
	b := Build(tb)
	if _, err := ctl(); err != nil {
		tb.Fatal(err)
	}
	return filepath.Dir(b.Throttlerd)
}

// must returns what f does, or fails the test.
func must[T any](tb testing.TB, f func() (T, error)) T {
	tb.Helper()
	v, err := f()
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// Rogue is a plugin that misbehaves as it is told.
func Rogue(tb testing.TB) string {
	tb.Helper()
	return must(tb, rogue)
}

// NewRogue is its next version, 2.0.0.
func NewRogue(tb testing.TB) string {
	tb.Helper()
	return must(tb, newRogue)
}

// Main runs the tests of a package that uses Build, and cleans up after them.
func Main(m *testing.M) int {
	defer func() {
		if dir, err := directory(); err == nil {
			os.RemoveAll(dir)
		}
	}()
	return m.Run()
}

func buildDaemon() (Binaries, error) {
	dir, err := directory()
	if err != nil {
		return Binaries{}, err
	}
	b := Binaries{Throttlerd: filepath.Join(dir, "throttlerd"), PluginDir: filepath.Join(dir, "plugins")}
	return b, errors.Join(
		build(b.PluginDir+"/", "./plugins/echo", "./plugins/webhook"),
		build(dir+"/", "./cmd/throttlerd"))
}

// buildCtl is apart, since only tests of throttlectl should need it to build.
func buildCtl() (string, error) {
	dir, err := directory()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "throttlectl"), build(dir+"/", "./cmd/throttlectl")
}

func buildRogue(version string) (string, error) {
	dir, err := directory()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "rogue-"+version, "rogue")
	return path, build(filepath.Dir(path)+"/", "-ldflags=-X main.version="+version, "./tests/rogue")
}

// build builds packages, before whose names flags may stand.
func build(out string, packages ...string) error {
	root, err := root()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	if err := touch(root); err != nil {
		return err
	}
	cmd := exec.Command("go", append([]string{"build", "-o", out}, packages...)...)
	cmd.Dir = root
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %v: %w\n%s", packages, err, text)
	}
	return nil
}

// touch looks at all that is built, so that go test takes no result from its cache that
// was of other programs: it knows of the files that a test looks at itself.
func touch(root string) error {
	for _, dir := range []string{"cmd", "examples", "internal", "pluginapi", "plugins", "ratelimit", "runtime", "scheduler"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, _ os.DirEntry, err error) error {
			if err == nil {
				_, err = os.Stat(path)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// ModuleRoot is the nearest directory above the test's that holds go.mod.
func ModuleRoot(tb testing.TB) string {
	tb.Helper()
	return must(tb, root)
}

func root() (string, error) {
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
