//go:build linux

package examples

import (
	"maps"
	"testing"

	"github.com/throttlerd/throttlerd/tests/proc"
)

// Four services in one Redis: each worker runs its own service's tasks and no other's.
func TestServicesStayApart(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, c := range []struct {
		file, queue string
		n, fleet    int // tasks, and workers that its namespace shows once it runs
		args        []string
	}{
		{"services/a.hcl", "calls", 1, 1, nil},
		{"services/b.hcl", "calls", 3, 1, nil},
		{"services/billing.hcl", "invoices", 10, 1, []string{"--pool", "billing"}},
		{"services/search.hcl", "crawl", 20, 2, []string{"--pool", "search"}},
	} {
		file := s.config(c.file)
		worker := proc.Worker(t, file, c.args...)
		if seen := ctl[[]any](s, file, "worker", "list"); len(seen) != c.fleet {
			t.Errorf("%s: %d workers are listed, not %d", c.file, len(seen), c.fleet)
		}
		want := map[string]int{worker.ID(): c.n}
		if by := s.ranOn(file, c.queue, c.n); !maps.Equal(by, want) {
			t.Errorf("%s: tasks of %s ran on %v, not on %v", c.file, c.queue, by, want)
		}
	}
}
