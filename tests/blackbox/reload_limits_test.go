//go:build linux

package blackbox

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/tests/proc"
)

// Limits of a file are created by its first worker, changed by a reload, and kept when
// they leave it.
func TestReloadOfLimits(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := s.file(s.echo(), limit("api", `rate = "10/1s:2"`, "concurrency = 4"), queue("calls", `limits = ["api"]`, "debt_max = 0"))
	w := proc.Worker(t, file)
	if l := s.limit("api"); l.Rates.String() != "10/1s:2" || l.Concurrency != 4 || l.Owner != "default" || !slices.Equal(l.Queues, []string{"calls"}) {
		t.Fatalf("%+v", l)
	}
	s.rewrite(file, s.echo(), limit("api", `rate = ["20/1s:2", "100/1m:50"]`), limit("more", "concurrency = 1"),
		queue("calls", `limits = ["api", "more"]`, "concurrency = 3"))
	w.Signal(syscall.SIGHUP)
	proc.Eventually(t, 5*time.Second, "the file is applied", func() bool { return s.limit("api").Concurrency == 0 && len(s.show("calls").Limits) == 2 })
	if l, q := s.limit("api"), s.show("calls"); l.Rates.String() != "20/1s:2, 100/1m:50" || q.Concurrency != 3 {
		t.Errorf("%+v\n%+v", l, q)
	}
	// what is changed by hand stays so over a reload
	if r := proc.Ctl(t, s.here("limit", "set", "more", "--concurrency", "7")...); r.Code != 0 {
		t.Errorf("code %d: %s", r.Code, r.Stderr)
	}
	s.rewrite(file, s.echo(), limit("api", `rate = "30/1s:2"`), limit("more", "concurrency = 1"),
		queue("calls", `limits = ["api", "more"]`, "concurrency = 3"))
	w.Signal(syscall.SIGHUP)
	proc.Eventually(t, 5*time.Second, "the file is applied", func() bool { return s.limit("api").Rates.String() == "30/1s:2" })
	if l := s.limit("more"); l.Concurrency != 7 || l.Declared == nil || l.Declared.Concurrency != 1 {
		t.Errorf("%+v", l)
	}
	// a limit that is not there refuses the file as a whole
	s.rewrite(file, s.echo(), limit("api", `rate = "40/1s:2"`), queue("calls", `limits = ["ape"]`))
	w.Signal(syscall.SIGHUP)
	w.WaitLog("reload refused", 5*time.Second)
	if l := s.limit("api"); l.Rates.String() != "30/1s:2" {
		t.Errorf("a refused reload changed the limit: %+v", l)
	}
	s.rewrite(file, s.echo(), queue("calls"))
	w.Signal(syscall.SIGHUP)
	proc.Eventually(t, 5*time.Second, "the file is applied", func() bool { return len(s.show("calls").Limits) == 0 && s.limit("api").Undeclared })
	if r := proc.Ctl(t, s.here("limit", "remove", "api", "--yes")...); r.Code != 0 {
		t.Errorf("code %d: %s", r.Code, r.Stderr)
	}
	if r := proc.Ctl(t, s.here("limit", "show", "api")...); r.Code != 3 {
		t.Errorf("code %d: %s", r.Code, r.Stderr)
	}
}
