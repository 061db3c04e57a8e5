//go:build linux

package blackbox

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/tests/proc"
)

// throttlectl refuses what is wrong with one clear error and its code, and does no part
// of it.
func TestCtlRefuses(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	proc.Worker(t, s.file(s.echo(), queue("emails", "paused = true")))
	big := filepath.Join(t.TempDir(), "big.json")
	s.must(os.WriteFile(big, []byte(`"`+strings.Repeat("x", 300<<10)+`"`), 0o644))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	s.must(err)
	nobody := "redis://" + l.Addr().String() + "/0"
	s.must(l.Close())
	here := []string{"--redis-url", s.redis.URL(), "--namespace", namespace}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"queue", "create", "10/fortnight", "--name", "new"}, 2, "fortnight"},
		{[]string{"queue", "create", "0/1s", "--name", "new"}, 2, "0/1s"},
		{[]string{"queue", "create", "10/1s", "--name", "No Name"}, 2, "No Name"},
		{[]string{"queue", "create", "10/1s", "--name", "emails"}, 4, "emails"},
		{[]string{"queue", "create", "--bogus"}, 2, "--bogus"},
		{[]string{"queue", "show", "emials"}, 3, `did you mean "emails"`},
		{[]string{"submit", "emials", "{}"}, 3, `did you mean "emails"`},
		{[]string{"submit", "emails", "{oops"}, 7, "JSON"},
		{[]string{"submit", "emails", "@" + big}, 7, "max_payload"},
		{[]string{"task", "show", "nosuch"}, 3, "nosuch"},
		{[]string{"queue", "purge", "emails"}, 4, "--yes"},
		{[]string{"queue", "remove", "emails", "--yes"}, 4, "default"},
	} {
		r := proc.Ctl(t, append(c.args, here...)...)
		if r.Code != c.code || !strings.Contains(r.Stderr, c.says) || r.Stdout != "" || strings.Contains(r.Stderr, "goroutine ") {
			t.Errorf("%v exits with %d, want %d and %q; stdout %q, stderr:\n%s", c.args, r.Code, c.code, c.says, r.Stdout, r.Stderr)
		}
	}
	r := proc.Ctl(t, "queue", "list", "--redis-url", nobody)
	if r.Code != 5 || r.Took < 9*time.Second || r.Took > 14*time.Second {
		t.Errorf("without Redis: code %d after %v:\n%s", r.Code, r.Took, r.Stderr)
	}
	queues, err := s.client.Queues(s.ctx())
	s.must(err)
	if len(queues) != 1 || queues[0].Waiting != 0 {
		t.Errorf("after all the refusals: %+v", queues)
	}

	// a handler that nobody serves: created, with a warning
	r = proc.Ctl(t, append([]string{"queue", "create", "10/1s", "--name", "new", "--handler", "nobody"}, here...)...)
	if r.Code != 0 || strings.TrimSpace(r.Stdout) != "new" || !strings.Contains(r.Stderr, "nobody") {
		t.Errorf("code %d, stdout %q, stderr:\n%s", r.Code, r.Stdout, r.Stderr)
	}
}
