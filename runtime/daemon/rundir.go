package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const (
	runDirs = "throttlerd-run-*"
	// settled: a directory younger than this may not be locked yet.
	settled = time.Minute
)

// newRunDir makes a private directory for the sockets of this process's plugins, and
// takes away those of processes that were killed before they could: nobody holds the
// lock on them. remove takes it away.
func newRunDir() (dir string, remove func(), err error) {
	old, _ := filepath.Glob(filepath.Join(os.TempDir(), runDirs))
	for _, d := range old {
		info, err := os.Stat(d)
		if err != nil || time.Since(info.ModTime()) < settled {
			continue
		}
		if f := lock(d); f != nil {
			_ = os.RemoveAll(d) // another user's stays: it cannot be locked
			f.Close()
		}
	}
	dir, err = os.MkdirTemp("", runDirs)
	if err != nil {
		return "", nil, fmt.Errorf("directory for plugin sockets: %w", err)
	}
	held := lock(dir)
	return dir, func() {
		_ = os.RemoveAll(dir)
		if held != nil {
			held.Close()
		}
	}, nil
}

// lock holds a directory until the file is closed, or its process ends; nil when
// somebody else does.
func lock(dir string) *os.File {
	f, err := os.Open(dir)
	if err != nil {
		return nil
	}
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		f.Close()
		return nil
	}
	return f
}
