package pluginhost

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The tree of cgroups is a directory of the test's here: which one is chosen, and what is
// written to it.
func TestACageIsMadeWhereTheMemoryControllerIsOn(t *testing.T) {
	mount := t.TempDir()
	parent := filepath.Join(mount, "unit")
	if err := os.MkdirAll(filepath.Join(parent, "throttlerd"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := cageIn(mount, "/unit/throttlerd", "echo", 7<<20); err == nil || !strings.Contains(err.Error(), "Delegate=memory") {
		t.Fatalf("no controller anywhere: %v", err)
	}
	if err := os.WriteFile(filepath.Join(parent, "cgroup.subtree_control"), []byte("cpu memory\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := cageIn(mount, "/unit/throttlerd", "echo", 7<<20)
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Dir(c.dir) != parent {
		t.Errorf("made at %s", c.dir)
	}
	if most, _ := os.ReadFile(filepath.Join(c.dir, "memory.max")); string(most) != "7340032" {
		t.Errorf("memory.max %q", most)
	}
	for events, want := range map[string]bool{"low 0\noom 2\noom_kill 0\n": false, "oom 1\noom_kill 1\n": true} {
		if err := os.WriteFile(filepath.Join(c.dir, "memory.events"), []byte(events), 0o644); err != nil {
			t.Fatal(err)
		}
		if c.overflowed() != want {
			t.Errorf("overflowed: %v by %q", !want, events)
		}
	}
}
