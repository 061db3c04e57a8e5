//go:build linux

package examples

import (
	"maps"
	"testing"

	"github.com/throttlerd/throttlerd/tests/proc"
)

// No task runs on a worker of another pool, also while that one has nothing to do.
func TestPoolsStayApart(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := s.config("pools/config.hcl")
	general := proc.Worker(t, file)
	api := proc.Worker(t, file, "--pool", "api")
	for _, c := range []struct {
		queue  string
		n      int
		worker *proc.Process
	}{
		{"thumbnails", 500, general},
		{"crm", 20, api},
		{"maps", 10, api},
	} {
		want := map[string]int{c.worker.ID(): c.n}
		if by := s.ranOn(file, c.queue, c.n); !maps.Equal(by, want) {
			t.Errorf("tasks of %s ran on %v, not on %v", c.queue, by, want)
		}
	}
}
