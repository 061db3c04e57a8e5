package daemon

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestRunDirsOfTheDeadGo(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	mine, remove, err := newRunDir()
	if err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(os.TempDir(), "throttlerd-run-dead")
	if err := os.MkdirAll(filepath.Join(dead, "plugin"), 0o700); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-time.Hour)
	for _, d := range []string{mine, dead} {
		if err := os.Chtimes(d, long, long); err != nil {
			t.Fatal(err)
		}
	}
	_, removeOther, err := newRunDir()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dead); !os.IsNotExist(err) {
		t.Errorf("a dead process's directory stays: %v", err)
	}
	if _, err := os.Stat(mine); err != nil {
		t.Errorf("a living process's directory has gone: %v", err)
	}
	remove()
	removeOther()
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), runDirs)); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}
