//go:build linux

package examples

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/tests/proc"
	"github.com/throttlerd/throttlerd/tests/redistest"
)

// site is one Redis, and copies of an example's files that point to it.
type site struct {
	*testing.T
	dir, redis string
}

func newSite(t *testing.T) *site {
	return &site{T: t, dir: t.TempDir(), redis: redistest.Start(t).URL()}
}

// config copies a file of an example and returns the copy's path.
func (s *site) config(file string) string {
	s.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		s.Fatal(err)
	}
	path := filepath.Join(s.dir, filepath.Base(file))
	text = fmt.Appendf(text, "\nredis { url = %q }\n", s.redis)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		s.Fatal(err)
	}
	return path
}

// ctl runs throttlectl and decodes what it prints.
func ctl[T any](s *site, config string, args ...string) T {
	s.Helper()
	r := proc.Ctl(s, append([]string{"-c", config, "--json"}, args...)...)
	var v T
	if err := json.Unmarshal([]byte(r.Stdout), &v); err != nil || r.Code != 0 {
		s.Fatalf("throttlectl %q: exit code %d, %v\n%s%s", args, r.Code, err, r.Stdout, r.Stderr)
	}
	return v
}

// task is what `task show` and `task list` print of one.
type task struct {
	ID, Queue, State, Worker string
	SubmittedAt              time.Time `json:"submitted_at"`
	StartedAt                time.Time `json:"started_at"`
}

// waitDone returns a task that has run.
func (s *site) waitDone(config, id string) (t task) {
	s.Helper()
	proc.Eventually(s, 15*time.Second, id+" is done", func() bool {
		t = ctl[task](s, config, "task", "show", id)
		return t.State == "done"
	})
	return t
}

// ranOn submits n tasks to a queue and returns how many of them each worker has run.
func (s *site) ranOn(config, queue string, n int) map[string]int {
	s.Helper()
	ctl[any](s, config, "queue", "test", queue, fmt.Sprint(n))
	by := map[string]int{}
	proc.Eventually(s, 15*time.Second, "all of "+queue+" are done", func() bool {
		clear(by)
		done := ctl[[]task](s, config, "task", "list", "-q", queue, "--state", "done", "--limit", "1000")
		for _, t := range done {
			by[t.Worker]++
		}
		return len(done) == n
	})
	return by
}
