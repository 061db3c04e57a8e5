//go:build linux

package blackbox

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/scheduler"
	"github.com/throttlerd/throttlerd/tests/proc"
)

// What is permanent is dead at once; a dead task that is retried has all its attempts
// again, from the first.
func TestPermanentAndRetried(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	w := proc.Worker(t, s.file(s.echo(), queue("jobs", "retry {\nmax_attempts = 3\nmin = \"100ms\"\nmax = \"10s\"\njitter = 0\n}")))
	plugin := s.plugin(w)
	permanent := s.submit("jobs", 1, `{"sleep": 5}`)[0] // not a duration, in no attempt
	if x := s.waitState(permanent, "dead", 5*time.Second); x.Attempts != 1 || !strings.Contains(x.LastError, "sleep") {
		t.Errorf("%+v", x)
	}
	fails := s.submit("jobs", 1, `{"fail": "boom"}`)[0]
	s.waitState(fails, "dead", 5*time.Second)
	state, err := s.client.RetryTask(s.ctx(), fails)
	s.must(err)
	if state != "dead" {
		t.Errorf("the retried task was %s", state)
	}
	runs := s.journal.WaitStarts(6, 5*time.Second)
	s.waitState(fails, "dead", 5*time.Second)
	for i, e := range runs {
		if e.Task != fails || e.Attempt != i%3+1 {
			t.Errorf("run %d: %+v", i+1, e)
		}
		if i%3 == 0 {
			continue
		}
		wait, least := time.Duration(e.GrantUs-runs[i-1].StartUs)*time.Microsecond, 100*time.Millisecond<<(i%3-1)
		t.Logf("figure: attempt %d came %v after the one before; backoff %v", e.Attempt, wait, least)
		if wait < least || wait > least+300*time.Millisecond {
			t.Errorf("attempt %d came %v after the one before; its backoff is %v", e.Attempt, wait, least)
		}
	}
	panics := s.submit("jobs", 1, `{"panic": "aargh"}`)[0]
	s.waitState(panics, "dead", 5*time.Second)
	if s.plugin(w) != plugin {
		t.Error("a panic ended the plugin")
	}
	s.audit("jobs", []string{permanent, fails, panics})
}

// Cancelled tasks that wait or are scheduled never start; a running one's handler is told.
func TestCancel(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	proc.Worker(t, s.file(s.echo(), queue("jobs", "paused = true"), queue("runs", `timeout = "10m"`)))
	ids := s.submit("jobs", 100, "{}")
	later, err := s.client.Submit(s.ctx(), scheduler.SubmitRequest{Queue: "jobs", In: 700 * time.Millisecond})
	s.must(err)
	cancelled := map[string]bool{later.ID: true}
	for i := 0; i < 100; i += 3 {
		cancelled[ids[i]] = true
	}
	for id := range cancelled {
		if _, err := s.client.Cancel(s.ctx(), id); err != nil {
			t.Error(err)
		}
	}
	s.audit("jobs", ids)
	s.must(s.client.Resume(s.ctx(), "jobs"))
	s.waitDone("jobs", 101-len(cancelled), 5*time.Second)
	running := s.submit("runs", 1, `{"sleep": "5m"}`)[0]
	s.journal.WaitStarts(102-len(cancelled), 5*time.Second)
	began := time.Now()
	_, err = s.client.Cancel(s.ctx(), running)
	s.must(err)
	s.waitState(running, "cancelled", 5*time.Second)
	t.Logf("figure: a running task is cancelled after %v", time.Since(began).Round(time.Millisecond))
	next := s.submit("jobs", 1, "{}")[0]
	s.waitState(next, "done", 5*time.Second)
	for _, e := range s.journal.Starts() {
		if cancelled[e.Task] {
			t.Errorf("the cancelled task %s started", e.Task)
		}
	}
	if f := s.journal.Finishes(proc.OfTask(running)); len(f) != 1 {
		t.Errorf("the cancelled handler wrote %+v", f)
	}
	s.audit("jobs", append(ids, next))
}

// Delayed tasks start at their instants, in their order, not in that of submitting.
func TestDelayed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	proc.Worker(t, s.file(s.echo(), queue("jobs")))
	const tasks = 20
	var ids [tasks]string
	at := time.Now().Add(time.Second)
	for i := tasks - 1; i >= 0; i-- {
		r, err := s.client.Submit(s.ctx(), scheduler.SubmitRequest{Queue: "jobs", At: at.Add(time.Duration(i) * 25 * time.Millisecond)})
		s.must(err)
		ids[i] = r.ID
	}
	starts := s.journal.WaitStarts(tasks, 10*time.Second)
	var worst time.Duration
	for i, e := range starts {
		after := time.UnixMicro(e.StartUs).Sub(at.Add(time.Duration(i) * 25 * time.Millisecond).Truncate(time.Microsecond))
		if e.Task != ids[i] || after < 0 {
			t.Errorf("start %d: task %s, %v after its instant; expected %s", i, e.Task, after, ids[i])
		}
		worst = max(worst, after)
	}
	t.Logf("figure: delayed tasks start at most %v after their instants", worst)
	s.audit("jobs", ids[:])
}

// A task is not late for having been submitted just after another one's instant.
func TestDelayedSoonAfterAnother(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	proc.Worker(t, s.file(s.echo(), queue("jobs")))
	var worst time.Duration
	for i := range 10 {
		r, err := s.client.Submit(s.ctx(), scheduler.SubmitRequest{Queue: "jobs", In: 150 * time.Millisecond})
		s.must(err)
		starts := s.journal.WaitStarts(i+1, 5*time.Second)
		worst = max(worst, time.UnixMicro(starts[i].StartUs).Sub(r.EarliestStart))
	}
	t.Logf("figure: a task delayed to soon after another's start is at most %v late", worst)
	if worst > 250*time.Millisecond {
		t.Errorf("a delayed task started %v after its instant", worst)
	}
}

// A plugin that is none, and a port where nobody listens: one clear error each, and
// nothing is left in Redis.
func TestStartThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	plugins := t.TempDir()
	s.must(os.WriteFile(filepath.Join(plugins, "garbage"), []byte("#!/bin/sh\necho not a plugin\n"), 0o755))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	s.must(err)
	nobody := l.Addr().String()
	s.must(l.Close())
	own := func(text string) string {
		s.files++
		path := filepath.Join(t.TempDir(), fmt.Sprintf("own%d.hcl", s.files))
		s.must(os.WriteFile(path, []byte(text), 0o644))
		return path
	}
	here := fmt.Sprintf("namespace = %q\nplugin_dir = %q\nredis { url = %q }\n", namespace, plugins, s.redis.URL())
	for name, c := range map[string]struct {
		file string
		code int
		says string
	}{
		"plugin missing":      {own(here + "handler \"gone\" {}\nqueue \"new\" {}\n"), 7, plugins},
		"plugin that is none": {own(here + "handler \"garbage\" {}\nqueue \"new\" {}\n"), 7, "garbage"},
		"Redis not there": {own(fmt.Sprintf("plugin_dir = %q\nredis { url = \"redis://%s/0\" }\nhandler \"echo\" {}\nqueue \"new\" {}\n",
			proc.Build(t).PluginDir, nobody)), 5, nobody},
	} {
		r := proc.Run(t, "run", "-c", c.file)
		if r.Code != c.code || !strings.Contains(r.Stderr, c.says) || strings.Count(r.Stderr, "Error:") != 1 || strings.Contains(r.Stderr, "goroutine ") {
			t.Errorf("%s: exit code %d, not %d, or not one error that names %q:\n%s", name, r.Code, c.code, c.says, r.Stderr)
		}
		if c.code == 5 {
			t.Logf("figure: Redis was waited for %v", r.Took.Round(time.Millisecond))
			if r.Took < 9*time.Second || r.Took > 14*time.Second {
				t.Errorf("Redis was waited for %v, not 10s", r.Took)
			}
		}
	}
	keys, err := s.rdb.Keys(s.ctx(), "*").Result()
	s.must(err)
	if len(keys) > 0 {
		t.Errorf("starts that failed wrote %v", keys)
	}
}

// A worker comes a little before a token is there. A task submitted between its coming
// and that instant starts with the token after.
func TestSubmittedJustBeforeAToken(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	proc.Worker(t, s.file(s.echo(), queue("calls", `rate = "5/1s"`)))
	var worst time.Duration
	for round := range 5 {
		for _, before := range []time.Duration{12, 8, 4} {
			n := len(s.journal.Starts())
			s.submit("calls", 2, "{}")
			first := s.journal.WaitStarts(n+1, 5*time.Second)[n]
			token := time.UnixMicro(first.GrantUs).Add(200 * time.Millisecond)
			time.Sleep(time.Until(token.Add(-before * time.Millisecond))) // the moment that is tried
			s.submit("calls", 1, "{}")
			third := s.journal.WaitStarts(n+3, 5*time.Second)[n+2]
			off := time.UnixMicro(third.GrantUs).Sub(token.Add(200 * time.Millisecond))
			if off > 100*time.Millisecond {
				t.Errorf("round %d: submitted %d ms before a token: granted %v after the token that was its own", round, before, off)
			}
			worst = max(worst, off)
			time.Sleep(time.Until(time.UnixMicro(third.GrantUs).Add(250 * time.Millisecond))) // until the bucket is full again
		}
	}
	t.Logf("figure: a task submitted just before a token is granted at most %v after its own", worst)
	s.bound("5/1s", s.journal.Starts())
}
