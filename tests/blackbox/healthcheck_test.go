//go:build linux

package blackbox

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/tests/proc"
)

// checkup is what throttlerd healthcheck --json prints.
type checkup struct {
	Healthy   bool
	Host      string
	Namespace string
	Problem   *string
	Workers   []struct {
		ID       string
		PID      int
		Healthy  bool
		Problems []string
		Handlers []string
		Draining bool
	}
}

// sick waits until the healthcheck fails with all of these texts, and holds its JSON
// against that.
func (s *site) sick(file string, says ...string) {
	s.Helper()
	var r proc.Result
	proc.Eventually(s, 20*time.Second, "healthcheck says "+strings.Join(says, " and "), func() bool {
		r = proc.Run(s, "healthcheck", "-c", file)
		for _, text := range says {
			if !strings.Contains(r.Stderr, text) {
				return false
			}
		}
		return true
	})
	if r.Code != 1 || r.Stdout != "" || strings.Count(r.Stderr, "\n") != 1 {
		s.Errorf("exit %d, stdout %q, stderr:\n%s", r.Code, r.Stdout, r.Stderr)
	}
	r = proc.Run(s, "healthcheck", "-c", file, "--json")
	var v checkup
	if err := json.Unmarshal([]byte(r.Stdout), &v); err != nil || r.Code != 1 || v.Healthy || v.Problem == nil || !strings.Contains(*v.Problem, says[0]) {
		s.Errorf("%v: exit %d\n%s%s", err, r.Code, r.Stdout, r.Stderr)
	}
}

// A probe follows a worker through its life, and changes nothing.
func TestHealthcheck(t *testing.T) {
	t.Parallel()
	d := &den{site: newSite(t)}
	d.plugins = d.ownPlugins("echo")
	d.install(proc.Rogue(t), filepath.Join(d.plugins, "rogue"))
	d.start = filepath.Join(t.TempDir(), "start")
	file := d.file(`lease = "3s"`, d.site.echo(), "handler \"rogue\" {\nmax_crashes = 1\nenv = { ROGUE_START = "+strconv.Quote(d.start)+" }\n}\n",
		queue("jobs"), "queue \"bad\" {\nhandler = \"rogue\"\n}\n")
	host, err := os.Hostname()
	d.must(err)

	before := d.changes()
	d.sick(file, `no worker of host "`+host+`" in namespace "bb"`, "throttlerd run")
	if after := d.changes(); after != before {
		t.Errorf("the healthcheck changed Redis: %s, %s before", after, before)
	}

	d.w = proc.Worker(t, file)
	r := proc.Run(t, "healthcheck", "-c", file)
	if r.Code != 0 || r.Stderr != "" || strings.Count(r.Stdout, "\n") != 1 || !strings.HasPrefix(r.Stdout, "ok: worker "+d.w.ID()+" serves echo, rogue: 0 running, last beat ") {
		t.Errorf("exit %d, %q %s", r.Code, r.Stdout, r.Stderr)
	}
	var v checkup
	r = proc.Run(t, "healthcheck", "-c", file, "--json", "--pid", strconv.Itoa(d.w.PID))
	d.must(json.Unmarshal([]byte(r.Stdout), &v))
	if r.Code != 0 || !v.Healthy || v.Problem != nil || v.Host != host || v.Namespace != namespace || len(v.Workers) != 1 ||
		v.Workers[0].ID != d.w.ID() || v.Workers[0].PID != d.w.PID || !v.Workers[0].Healthy || len(v.Workers[0].Handlers) != 2 {
		t.Errorf("exit %d: %s", r.Code, r.Stdout)
	}
	r = proc.Run(t, "healthcheck", "-c", file, "--pid", "1")
	if r.Code != 1 || !strings.Contains(r.Stderr, `no worker of host "`+host+`" with process id 1 in`) {
		t.Errorf("exit %d: %s", r.Code, r.Stderr)
	}
	// plugins are not looked at
	elsewhere := filepath.Join(t.TempDir(), "elsewhere.hcl")
	d.must(os.WriteFile(elsewhere, []byte(strings.Replace(d.head(), d.plugins, "nowhere", 1)+"handler \"nothing\" {}\n"), 0o644))
	if r := proc.Run(t, "healthcheck", "-c", elsewhere); r.Code != 0 {
		t.Errorf("a plugin that is not there: exit %d\n%s", r.Code, r.Stderr)
	}

	// a plugin that comes up no more
	d.must(os.WriteFile(d.start, []byte("exit"), 0o644))
	d.submit("bad", 1, "exit")
	d.sick(file, `its handler "rogue" has no plugin process: failing: does not start: exited with code 3`)
	d.must(os.Remove(d.start))
	d.healthy(file)

	// a worker that stands still past its lease, and goes on
	d.w.Signal(syscall.SIGSTOP)
	d.sick(file, "worker "+d.w.ID(), "its lease has ended; last beat ")
	d.w.Signal(syscall.SIGCONT)
	d.healthy(file)

	// a drain
	running := d.submit("jobs", 1, `{"sleep": "20s"}`)[0]
	d.waitState(running, "running", 10*time.Second)
	d.w.Signal(syscall.SIGTERM)
	d.sick(file, "it is draining")
	r = proc.Ctl(t, "--redis-url", d.redis.URL(), "--namespace", namespace, "worker", "list")
	if !strings.Contains(r.Stdout, "  draining  ") {
		t.Errorf("worker list:\n%s", r.Stdout)
	}
	d.w.Signal(syscall.SIGTERM)
	d.w.Wait(20 * time.Second)
	d.sick(file, "no worker of host")
}

// healthy waits until the healthcheck succeeds.
func (d *den) healthy(file string) {
	d.Helper()
	proc.Eventually(d, 40*time.Second, "healthcheck succeeds", func() bool { return proc.Run(d, "healthcheck", "-c", file).Code == 0 })
}

// changes is how many writes Redis has counted.
func (s *site) changes() string {
	s.Helper()
	info, err := s.rdb.Info(s.ctx(), "persistence").Result()
	s.must(err)
	_, rest, _ := strings.Cut(info, "rdb_changes_since_last_save:")
	n, _, _ := strings.Cut(rest, "\r\n")
	return n
}

// What is no answer about the worker has a code of its own.
func TestHealthcheckRefuses(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file, bad := s.file(s.echo(), queue("jobs")), s.file("queue {")
	check := func(code int, says string, args ...string) {
		t.Helper()
		r := proc.Run(t, append([]string{"healthcheck"}, args...)...)
		if r.Code != code || r.Stdout != "" || !strings.Contains(r.Stderr, says) || r.Took > 10*time.Second {
			t.Errorf("healthcheck %v: exit %d after %v, want %d and %q; stdout %q, stderr:\n%s", args, r.Code, r.Took, code, says, r.Stdout, r.Stderr)
		}
	}
	check(2, "--pid 0: must be the id of a process", "-c", file, "--pid", "0")
	check(2, "--timeout 0s: must be more than 0", "-c", file, "--timeout", "0s")
	check(2, "usage: throttlerd healthcheck", "-c", file, "web-1")
	check(2, "unknown flag: --host", "--host", "web-1")
	check(7, "line 4", "-c", bad)
	check(7, "nowhere.hcl", "-c", "nowhere.hcl")
	s.redis.Stop()
	check(5, "is not reachable", "-c", file, "--timeout", "300ms")
	s.redis.Continue()
	s.redis.Kill()
	check(5, `{"error":{"code":"unreachable","message":"`, "-c", file, "--timeout", "300ms", "--json")
	began := time.Now()
	check(5, "is not reachable", "-c", file) // by the default, 5 s
	if took := time.Since(began); took < 4*time.Second {
		t.Errorf("gave up after %v", took)
	}
}
