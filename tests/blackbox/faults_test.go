//go:build linux

package blackbox

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/scheduler"
	"github.com/throttlerd/throttlerd/tests/proc"
)

// den is a worker with a plugin that misbehaves beside one that does not.
type den struct {
	*site
	w      *proc.Process
	config string
	start  string // the file that says how rogue starts
	jobs   []string
	echo   int // the process of echo
}

// newDen starts the worker. Each crash of rogue is the end of the task that ran in it.
// The timeout is of its tasks, the attributes of its handler block.
func newDen(t *testing.T, timeout string, attributes ...string) *den {
	t.Helper()
	d := &den{site: newSite(t)}
	d.plugins = d.ownPlugins("echo")
	d.install(proc.Rogue(t), filepath.Join(d.plugins, "rogue"))
	d.start = filepath.Join(t.TempDir(), "start")
	rogue := fmt.Sprintf("handler \"rogue\" {\nconcurrency = 4\nmax_crashes = 1\nenv = { ROGUE_START = %q }\n%s\n}\n", d.start, strings.Join(attributes, "\n"))
	bad := fmt.Sprintf("queue \"bad\" {\nhandler = \"rogue\"\nrate = \"1000/1s:1000\"\ntimeout = %q\nretry {\nmax_attempts = 1\n}\n}\n", timeout)
	d.config = d.file(d.site.echo(), rogue, queue("jobs"), bad)
	d.w = proc.Worker(t, d.config)
	d.echo = d.process("echo")
	return d
}

// process is the only process of a plugin.
func (d *den) process(plugin string) int {
	d.Helper()
	var found []int
	for _, pid := range proc.Children(d.w.PID) {
		if filepath.Base(proc.Program(pid)) == plugin {
			found = append(found, pid)
		}
	}
	if len(found) != 1 {
		d.Fatalf("processes of %s: %v", plugin, found)
	}
	return found[0]
}

// work submits tasks to echo that are to be done whatever happens beside them.
func (d *den) work() { d.jobs = append(d.jobs, d.submit("jobs", 100, `{"sleep": "30ms"}`)...) }

// state is what the worker says of rogue.
func (d *den) state() scheduler.HandlerState {
	d.Helper()
	s, ok := d.worker().State("rogue")
	if !ok {
		d.Fatal("the worker says nothing of rogue")
	}
	return s
}

// well demands that nothing of the fault is left: more tasks than rogue has slots are
// done, echo has not noticed anything, no process waits for its burial, and the worker
// ends as it should.
func (d *den) well() {
	d.Helper()
	done := d.show("bad").Completed
	d.submit("bad", 12, "ok")
	d.waitDone("bad", int(done)+12, 30*time.Second)
	d.work()
	d.waitDone("jobs", len(d.jobs), 20*time.Second)
	d.once(d.jobs)
	if d.w.Exited() || d.process("echo") != d.echo {
		d.Error("the worker or another plugin did not live on")
	}
	if z := proc.Zombies(d.w.PID); len(z) > 0 {
		d.Errorf("zombies: %v", z)
	}
	children := proc.Children(d.w.PID)
	d.stop(d.w, 20*time.Second)
	for _, pid := range children {
		if proc.Alive(pid) {
			d.Errorf("process %d is left", pid)
		}
	}
}

// What a plugin can do in a task: the worker lives, its other plugin is not touched, the
// slots come back.
func TestPluginFaults(t *testing.T) {
	for _, c := range []struct {
		name, payload, start, state, says string
	}{
		{"crash", "exit", "", "dead", "exited with code 3"},
		{"panic", "panic", "", "dead", "in the handler"},
		{"panic outside the handler", "goroutine panic", "", "dead", "exited with code 2"},
		{"hang", "hang", "", "dead", "timed out after 1s"},
		{"ignored cancellation", "ignore", "", "dead", "timed out after 1s; it ignored the end of its context, and its plugin was killed"},
		{"flood of stdout", "flood stdout", "", "done", ""},
		{"flood of stderr", "flood stderr", "", "done", ""},
		{"lines of 200 KB", "long lines", "", "done", ""},
		{"reply of 200 MB", "ok", "huge reply", "dead", "larger than max"},
		{"grandchild that holds the pipes", "grandchild", "", "dead", "exited with code 4"},
		{"grandchild that left the group", "escaped grandchild", "", "dead", "exited with code 4"},
		{"leak", "leak", "", "dead", "memory_max"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var attributes []string
			if c.payload == "leak" {
				attributes = append(attributes, `memory_max = "96MiB"`)
			}
			timeout := "20s"
			if strings.HasPrefix(c.says, "timed out") {
				timeout = "1s"
			}
			d := newDen(t, timeout, attributes...)
			if c.start != "" {
				d.must(os.WriteFile(d.start, []byte(c.start), 0o644))
				d.restart(0, "restarted on worker")
			}
			d.work()
			began := time.Now()
			id := d.submit("bad", 1, c.payload)[0]
			x := d.waitState(id, c.state, 30*time.Second)
			t.Logf("figure: %s after %v", c.state, time.Since(began).Round(time.Millisecond))
			if !strings.Contains(x.LastError, c.says) {
				t.Errorf("the task's error is %q, not %q", x.LastError, c.says)
			}
			if c.start != "" {
				d.must(os.Remove(d.start))
				d.restart(0, "restarted on worker")
			}
			d.well()
		})
	}
}

// restart runs throttlectl handler restart and demands its code and a part of what it says.
func (d *den) restart(code int, says string) {
	d.Helper()
	r := proc.Ctl(d, "--redis-url", d.redis.URL(), "--namespace", namespace, "--timeout", "40s", "handler", "restart", "rogue")
	if r.Code != code || !strings.Contains(r.Stdout+r.Stderr, says) {
		d.Fatalf("handler restart: exit %d, want %d with %q:\n%s%s", r.Code, code, says, r.Stdout, r.Stderr)
	}
}

// A plugin that comes up no more after a crash: its queue waits, and nothing is spent. A
// restart that fails changes nothing; one that works ends the wait at once.
func TestPluginThatDoesNotStartAgain(t *testing.T) {
	for _, c := range []struct{ start, says string }{
		{"exit", "exited with code 3 before it was ready"},
		{"silent", "no handshake within 10s"},
		{"garbage", "where the handshake belongs"},
		{"long garbage", "where the handshake belongs"},
	} {
		t.Run(c.start, func(t *testing.T) {
			t.Parallel()
			d := newDen(t, "20s")
			d.must(os.WriteFile(d.start, []byte(c.start), 0o644))
			d.work()
			d.waitState(d.submit("bad", 1, "exit")[0], "dead", 20*time.Second)
			proc.Eventually(t, 30*time.Second, "the worker says why rogue does not start", func() bool {
				s := d.state()
				return strings.Contains(s.LastError, c.says) && s.Processes[0].Phase == "failing"
			})
			spent := d.show("bad").TokensSpent
			ids := d.submit("bad", 10, "ok")
			restarts := d.state().Processes[0].Restarts
			d.restart(1, c.says)
			if c.start == "exit" {
				if s := d.state(); len(s.Stderr) != 1 || s.Stderr[0] != "no licence found" {
					t.Errorf("stderr %q", s.Stderr)
				}
				proc.Eventually(t, 30*time.Second, "it is tried again", func() bool { return d.state().Processes[0].Restarts > restarts })
			}
			for _, id := range ids {
				if x := d.task(id); x.State != "waiting" || x.Attempts != 0 {
					t.Errorf("%+v", x)
				}
			}
			if q := d.show("bad"); q.TokensSpent != spent || q.TokensWasted != 0 {
				t.Errorf("%d tokens spent, %d before; %d wasted", q.TokensSpent, spent, q.TokensWasted)
			}
			d.must(os.Remove(d.start))
			d.restart(0, "restarted on worker")
			d.waitDone("bad", len(ids), 10*time.Second)
			if s := d.state(); s.Version != "1.0.0" || s.Processes[0].Phase != "up" {
				t.Errorf("%+v", s)
			}
			d.well()
		})
	}
}

// throttlectl brings a new version in, on two workers, while tasks run; none fails, and
// the list tells.
func TestHandlerRestartBringsTheNewVersion(t *testing.T) {
	t.Parallel()
	d := newDen(t, "20s", "instances = 2")
	second := proc.Worker(t, d.config)
	d.submit("bad", 3000, "ok") // 8 slots of 20 ms: 7 s of work
	d.waitDone("bad", 500, 20*time.Second)
	d.install(proc.NewRogue(t), filepath.Join(d.plugins, "rogue"))
	d.restart(0, "rogue: restarted on worker "+second.ID())
	after := d.submit("bad", 100, "ok")
	d.waitDone("bad", 3100, 30*time.Second)
	for _, id := range after {
		if x := d.task(id); string(x.Result) != "2.0.0" || x.Attempts != 1 {
			t.Errorf("%+v", x)
		}
	}
	if q := d.show("bad"); q.Dead != 0 || q.Failed != 0 || q.TokensSpent != 3100 || q.TokensWasted != 0 {
		t.Errorf("%+v", q)
	}
	r := proc.Ctl(t, "--redis-url", d.redis.URL(), "--namespace", namespace, "handler", "list")
	if n := strings.Count(r.Stdout, "2.0.0"); r.Code != 0 || n != 2 {
		t.Errorf("exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	t.Logf("figure:\n%s", r.Stdout)
}

// Five crashes in five minutes: the queue waits for 15 to 30 s, nothing is spent, and the
// worker shows why. Other plugins go on.
func TestPluginThatCrashesAllTheTime(t *testing.T) {
	t.Parallel()
	d := newDen(t, "20s")
	d.work()
	for range 5 { // one by one, so that each is a crash of its own
		d.waitState(d.submit("bad", 1, "exit")[0], "dead", 20*time.Second)
	}
	proc.Eventually(t, 10*time.Second, "the worker shows rogue as failing", func() bool { return d.state().Processes[0].Phase == "failing" })
	s, spent := d.state(), d.show("bad").TokensSpent
	if s.LastError != "exited with code 3" || s.Stderr[len(s.Stderr)-1] != "last words" || s.Processes[0].Restarts != 4 {
		t.Errorf("%+v", s)
	}
	ids := d.submit("bad", 20, "ok")
	d.work()
	d.waitDone("jobs", len(d.jobs), 10*time.Second)
	began := time.Now()
	for time.Since(began) < 8*time.Second { // the shortest wait is twice as long, the longest of a plugin that only crashed 1.6 s
		q := d.show("bad")
		if q.TokensSpent != spent || q.TokensWasted != 0 || q.Running != 0 || q.Waiting != int64(len(ids)) {
			t.Fatalf("after %v: %+v", time.Since(began), q)
		}
		time.Sleep(50 * time.Millisecond) // between two looks
	}
	if x := d.task(ids[0]); x.Attempts != 0 || x.Crashes != 0 {
		t.Errorf("%+v", x)
	}
	d.waitDone("bad", len(ids), 40*time.Second)
	t.Logf("figure: the queue of a plugin that crashed five times waited for %v", time.Since(began).Round(100*time.Millisecond))
	if q := d.show("bad"); q.TokensSpent != spent+int64(len(ids)) || q.TokensWasted != 0 {
		t.Errorf("%d tokens for %d tasks, %d wasted", q.TokensSpent-spent, len(ids), q.TokensWasted)
	}
	d.well()
}

// socketsIn are the files below the run directories.
func socketsIn(t *testing.T, tmp string) []string {
	found, err := filepath.Glob(filepath.Join(tmp, "throttlerd-run-*", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// 200 replacements, under load, leave nothing behind in the worker: no process, socket,
// descriptor or thread.
func TestRestartsLeaveNothingInTheWorker(t *testing.T) {
	tmp := "/tmp/tr" + fmt.Sprint(os.Getpid()) // short: sockets are in it
	if err := os.Mkdir(tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(tmp) })
	t.Setenv("TMPDIR", tmp)
	d := newDen(t, "20s")
	d.restart(0, "restarted on worker") // opens what stays open
	files, threads := proc.Files(d.w.PID), proc.Threads(t, d.w.PID)
	sockets := socketsIn(t, tmp)
	const replaced = 200
	for i := range replaced {
		request := fmt.Sprint(i)
		d.must(d.client.RestartHandler(d.ctx(), d.w.ID(), "rogue", request))
		proc.Eventually(t, 10*time.Second, "a replacement", func() bool { return d.state().Restart == request })
		if i%10 == 0 {
			d.work()
		}
	}
	d.waitDone("jobs", len(d.jobs), 30*time.Second)
	d.once(d.jobs)
	proc.Eventually(t, 10*time.Second, "two plugin processes are left", func() bool { return len(proc.Children(d.w.PID)) == 2 })
	proc.Eventually(t, 10*time.Second, "as many descriptors as before", func() bool { return proc.Files(d.w.PID) <= files+2 })
	if z := proc.Zombies(d.w.PID); len(z) > 0 {
		t.Errorf("zombies: %v", z)
	}
	if now := socketsIn(t, tmp); len(now) != len(sockets) {
		t.Errorf("files %v became %v", sockets, now)
	}
	t.Logf("figure: after %d replacements %d descriptors (%d before), %d threads (%d before)", replaced, proc.Files(d.w.PID), files, proc.Threads(t, d.w.PID), threads)
	d.well()
	if left, _ := filepath.Glob(filepath.Join(tmp, "throttlerd-run-*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
