// Package examples runs every example as its reader would.
package examples

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/throttlerd/throttlerd/tests/redistest"
)

func TestEmbed(t *testing.T) {
	srv := redistest.Start(t)
	bin := filepath.Join(t.TempDir(), "embed")
	if out, err := exec.Command("go", "build", "-o", bin, "./embed").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(bin)
	cmd.Env = append(os.Environ(), "THROTTLE_REDIS_URL="+srv.URL())
	out, err := cmd.CombinedOutput()
	want := "hello, guest 9\ngood evening, guest 0\n11 tasks served\n"
	if err != nil || string(out) != want {
		t.Errorf("%v\ngot:\n%swant:\n%s", err, out, want)
	}
}
