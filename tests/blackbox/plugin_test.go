//go:build linux

package blackbox

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/tests/proc"
)

// A new plugin builds and passes its test at once, runs a task without Redis, and has a
// mistake in its config block answered by file and line.
func TestNewPlugin(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "hello")
	made := proc.Run(t, "plugin", "new", dir, "--sdk", proc.ModuleRoot(t))
	if made.Code != 0 || !strings.Contains(made.Stdout, "make -C "+dir) {
		t.Fatalf("%+v", made)
	}
	makeIt := func(target string) {
		t.Helper()
		cmd := exec.Command("make", "-C", dir, target)
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	makeIt("all")
	binary, config := filepath.Join(dir, "bin", "hello"), filepath.Join(dir, "config.hcl")

	for _, c := range []struct {
		args []string
		code int
		says []string // on stdout and stderr together
	}{
		{[]string{"plugin", "new", dir, "--sdk", proc.ModuleRoot(t)}, 4, []string{"is there already"}},
		{[]string{"plugin", "new", filepath.Join(t.TempDir(), "x")}, 2, []string{"is no release", "--sdk DIR"}},
		{[]string{"plugin", "new", "Hello"}, 2, []string{"cannot name a plugin"}},
		{[]string{"plugin", "new", filepath.Join(t.TempDir(), "x"), "--sdk", t.TempDir()}, 7, []string{"is no checkout of throttlerd"}},
		{[]string{"validate", "-c", config}, 0, []string{"ok: 1 handler, 1 queue"}},
		{[]string{"plugin", "describe", binary}, 0, []string{"hello 0.1.0", "greets somebody.", `greeting  string, default "Hello"`, "name  string, required"}},
		{[]string{"plugin", "list", filepath.Dir(binary)}, 0, []string{"hello", "0.1.0", "greets somebody"}},
		{[]string{"plugin", "run", binary, "--payload", `{"name":"ann"}`}, 0, []string{"outcome   done", `{"text":"Hello, ann"}`, "greeting: handler=hello"}},
		{[]string{"plugin", "run", "--handler", "hello", "-c", config, "--payload", `{"name":5}`}, 1, []string{"outcome   permanent", `"name" must be a string, not a number`}},
		{[]string{"plugin", "run", "--handler", "helo", "-c", config}, 7, []string{`no handler "helo"`, "hello"}},
		{[]string{"plugin", "run", binary, "--config", `{"greting":"Hi"}`}, 7, []string{`did you mean "greeting"?`}},
		{[]string{"plugin", "run"}, 2, []string{"give a BINARY"}},
		{[]string{"plugin", "run", "no-such"}, 7, []string{`no plugin "no-such"`}},
		{[]string{"plugin", "run", "/bin/true"}, 7, []string{"is it a throttlerd plugin"}},
	} {
		r := proc.Run(t, c.args...)
		for _, text := range c.says {
			if r.Code != c.code || !strings.Contains(r.Stdout+r.Stderr, text) {
				t.Errorf("throttlerd %s: exit %d, want %d and %q:\n%s%s", strings.Join(c.args, " "), r.Code, c.code, text, r.Stdout, r.Stderr)
			}
		}
	}

	var one struct {
		Outcome string
		Result  struct{ Text string }
	}
	r := proc.Run(t, "plugin", "run", binary, "--json", "--payload", `{"name":"bob"}`, "--config", `{"greeting":"Hi"}`)
	if err := json.Unmarshal([]byte(r.Stdout), &one); err != nil || one.Outcome != "done" || one.Result.Text != "Hi, bob" {
		t.Errorf("%v: %s", err, r.Stdout)
	}

	by, err := os.ReadFile(filepath.Join(dir, "main.go"))
	if err != nil {
		t.Fatal(err)
	}
	secret := "type Config struct {\n\tToken string `hcl:\"license,optional\" sensitive:\"true\"`\n\tNeeded string `hcl:\"needed\"`\n"
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(strings.Replace(string(by), "type Config struct {\n", secret, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	makeIt("build")
	for block, says := range map[string]string{
		`greetin = "Hello"`:           `did you mean "greeting"?`,
		`pin = 4711`:                  "unknown attribute",
		`license = [4711, "hunter2"]`: "license: must be a string",
		"token = 5\n greeting = true": "greeting: must be a string, not a bool",
	} {
		text := "plugin_dir = \"bin\"\nhandler \"hello\" {\n config {\n " + block + "\n }\n}\n"
		if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		r := proc.Run(t, "validate", "-c", config)
		if r.Code != 7 || !strings.Contains(r.Stderr, "config.hcl line 4") || !strings.Contains(strings.Join(strings.Fields(r.Stderr), " "), says) {
			t.Errorf("%s: exit %d:\n%s", block, r.Code, r.Stderr)
		}
		if strings.Contains(r.Stderr, "hunter2") {
			t.Errorf("a secret is shown:\n%s", r.Stderr)
		}
	}

	// a secret beside what is complained about
	text := "plugin_dir = \"bin\"\nhandler \"hello\" {\n config { license = \"hunter2\" }\n}\n"
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	r = proc.Run(t, "validate", "-c", config)
	if r.Code != 7 || !strings.Contains(r.Stderr, "needed: is required") || !strings.Contains(r.Stderr, "config { license = ***") || strings.Contains(r.Stderr, "hunter2") {
		t.Errorf("exit %d:\n%s", r.Code, r.Stderr)
	}
}

// Ctrl-C ends the plugin that is being tried, and leaves nothing of it.
func TestPluginRunInterrupted(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "try") // short, for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	p := proc.StartProgram(t, []string{"TMPDIR=" + dir}, proc.Build(t).Throttlerd, "plugin", "run", "echo", "--payload", `{"sleep":"1m"}`, "--timeout", "2m")
	proc.Eventually(t, 10*time.Second, "the plugin listens", func() bool {
		sockets, _ := filepath.Glob(filepath.Join(dir, "*", "plugin*"))
		return len(sockets) > 0
	})
	plugin := proc.Children(p.PID)
	p.Signal(syscall.SIGINT)
	if code := p.Wait(10 * time.Second); code != 1 || !strings.Contains(p.Log(), "interrupted") {
		t.Errorf("exit %d: %s", code, p.Log())
	}
	for _, pid := range plugin {
		if proc.Alive(pid) {
			t.Errorf("the plugin %d lives on", pid)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("it leaves %v", left)
	}
}

// What a running task tells of its progress is shown while it runs, and no longer.
func TestProgressIsShown(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	w := proc.Worker(t, s.file(s.echo(), queue("jobs", `timeout = "10m"`)))
	id := s.submit("jobs", 1, `{"sleep": "50s"}`)[0]
	proc.Eventually(t, 10*time.Second, "progress of a task that sleeps", func() bool {
		x, err := s.client.Task(s.ctx(), id)
		s.must(err)
		return x.Progress != nil && x.Progress.Percent >= 4 && x.Progress.Note == "sleeping 50s"
	})
	for _, args := range [][]string{
		{"task", "show", id}, {"task", "show", id, "--json"},
		{"worker", "show", w.ID(), "--detailed"}, {"worker", "show", w.ID(), "--detailed", "--json"},
		{"monitor", "--once", "--interval", "100ms"}, {"monitor", "--once", "--interval", "100ms", "--json"},
	} {
		r := proc.Ctl(t, append(args, "-c", s.file())...)
		if r.Code != 0 || !strings.Contains(r.Stdout, "sleeping 50s") {
			t.Errorf("throttlectl %s: exit %d\n%s%s", strings.Join(args, " "), r.Code, r.Stdout, r.Stderr)
		}
	}
	_, err := s.client.Cancel(s.ctx(), id)
	s.must(err)
	if x := s.waitState(id, "cancelled", 10*time.Second); x.Progress != nil {
		t.Errorf("cancelled: %+v", x.Progress)
	}
	proc.Eventually(t, 3*time.Second, "nothing left of the progress", func() bool {
		n, err := s.rdb.Exists(s.ctx(), "{"+namespace+"}:progress:"+w.ID()).Result()
		s.must(err)
		return n == 0
	})
}
