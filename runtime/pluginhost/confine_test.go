package pluginhost_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/runtime/pluginhost"
)

func digestOf(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// What was checked is what runs: a copy that nobody can write to.
func TestAPinnedPluginRunsFromACopy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "echo")
	content, err := os.ReadFile(echoPath)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o755); err != nil {
		t.Fatal(err)
	}
	spec := echoSpec(t)
	spec.Path, spec.SHA256 = path, strings.ToUpper(digestOf(t, path))
	h := start(t, spec)
	if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", h.PID())); err != nil || !strings.HasPrefix(exe, "/memfd:") {
		t.Errorf("it runs from %q, %v", exe, err)
	}
	// a binary that runs from its file cannot be written to; this one can, to no effect
	if err := os.WriteFile(path, []byte("#!/bin/sh\nexit 9\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if r := h.do("x"); r.Outcome != pluginapi.Done {
		t.Errorf("%+v", r)
	}
	if _, err := pluginhost.Start(t.Context(), spec, pluginhost.Sink{}); !errors.Is(err, pluginhost.ErrChecksum) {
		t.Errorf("the changed one: %v", err)
	}
	copied, err := os.OpenFile(fmt.Sprintf("/proc/%d/exe", h.PID()), os.O_WRONLY, 0)
	if err == nil {
		if _, err := copied.Write([]byte("x")); err == nil {
			t.Error("the copy was written to")
		}
		copied.Close()
	}
}

// As root, a plugin runs as another user and has a socket that it alone reaches; else
// the error says what it takes.
func TestAPluginRunsAsItsUser(t *testing.T) {
	spec := echoSpec(t)
	spec.User = "nobody"
	spec.SHA256 = digestOf(t, echoPath) // its file lies where nobody else comes
	if os.Geteuid() != 0 {
		if err := startError(t, t.Context(), spec); !strings.Contains(err.Error(), `as user "nobody" takes root`) {
			t.Error(err)
		}
		return
	}
	h := start(t, spec)
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", h.PID()))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Uid:" + strings.Repeat("\t"+nobody.Uid, 4), "Gid:" + strings.Repeat("\t"+nobody.Gid, 4)} {
		if !strings.Contains(string(status), want+"\n") {
			t.Errorf("no %q in\n%s", want, status)
		}
	}
	if strings.Contains(string(status), "Groups:\t0 ") {
		t.Error("it has kept the group of root")
	}
	dirs, _ := filepath.Glob(filepath.Join(spec.RunDir, "*"))
	if len(dirs) != 1 {
		t.Fatalf("%v", dirs)
	}
	info, err := os.Stat(dirs[0])
	if err != nil || info.Mode().Perm() != 0o700 || fmt.Sprint(info.Sys().(*syscall.Stat_t).Uid) != nobody.Uid {
		t.Errorf("%+v, %v", info, err)
	}
	if r := h.do("x"); r.Outcome != pluginapi.Done {
		t.Errorf("%+v", r)
	}
}

func TestAnUnknownUser(t *testing.T) {
	spec := echoSpec(t)
	spec.User = "no-such-user"
	if err := startError(t, t.Context(), spec); !strings.Contains(err.Error(), `user "no-such-user": there is no such user`) {
		t.Error(err)
	}
}

// With or without cgroups, a plugin that leaks ends at its bound, and says so.
func TestALeakEndsAtMemoryMax(t *testing.T) {
	spec := part(t, "scripted")
	spec.MemoryMax = 96 << 20
	h := start(t, spec)
	h.do("x")
	if has := h.Memory(); has < 1<<20 || has > spec.MemoryMax {
		t.Errorf("it has %d bytes", has)
	}
	h.send("leak")
	h.await(h.Done(), "the end of the process")
	if err := h.Err(); err == nil || !strings.Contains(err.Error(), "memory_max") || !strings.Contains(err.Error(), "96 MiB") {
		t.Errorf("%v", err)
	}
}
