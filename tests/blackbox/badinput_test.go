//go:build linux

package blackbox

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/throttlerd/throttlerd/tests/proc"
)

func TestBadInput(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	notExecutable := filepath.Join(t.TempDir(), "plain")
	s.must(os.WriteFile(notExecutable, []byte("x"), 0o644))
	for name, c := range map[string]struct {
		text string // of the whole file
		code int
		says []string
	}{
		"six mistakes": {s.head() + `
handler "echo" { concurency = 3 }
handler "none" { plugin = "no-such-plugin" }
queue "a" {
  handler = "eco"
  rate    = "10/60S"
}
queue "B" { handler = "echo" }
queue "c" {
  handler = "echo"
  timeout = "soon"
}`, 7, []string{`"concurency"`, "no-such-plugin", `"eco"`, `unit "S"`, `"B"`, "soon"}},
		"plugin not executable": {"plugin_dir = \"" + filepath.Dir(notExecutable) + "\"\nhandler \"h\" { plugin = \"plain\" }\n", 7, []string{"plain", "chmod"}},
		"config block refused":  {s.head() + "handler \"echo\" {\n  config { jurnal = \"x\" }\n}\n", 7, []string{`jurnal`, `journal`, "line 5"}},
		"no handler":            {s.head(), 7, []string{"declares no handler"}},
		"syntax":                {"queue {{{", 7, []string{"line 1"}},
	} {
		file := filepath.Join(t.TempDir(), "bad.hcl")
		s.must(os.WriteFile(file, []byte(c.text), 0o644))
		for _, verb := range []string{"validate", "run"} {
			if verb == "validate" && name == "no handler" {
				continue
			}
			r := proc.Run(t, verb, "-c", file)
			if r.Code != c.code {
				t.Errorf("%s: %s exits with %d, want %d:\n%s", name, verb, r.Code, c.code, r.Stderr)
			}
			for _, text := range c.says {
				if !strings.Contains(r.Stderr, text) {
					t.Errorf("%s: %s does not say %q:\n%s", name, verb, text, r.Stderr)
				}
			}
			if name == "six mistakes" && strings.Count(r.Stderr, "Error: ") != 6 {
				t.Errorf("%s: %s prints %d diagnostics:\n%s", name, verb, strings.Count(r.Stderr, "Error: "), r.Stderr)
			}
		}
	}
	if names, err := s.rdb.ZRange(s.ctx(), "{"+namespace+"}:queues", 0, -1).Result(); err != nil || len(names) != 0 {
		t.Errorf("refused files made queues %v, %v", names, err)
	}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"run", "--bogus"}, 2, "unknown flag: --bogus"},
		{[]string{"bogus"}, 2, `unknown command "bogus"`},
		{[]string{"run", "extra"}, 2, "usage"},
		{[]string{"run", "-c", "/no/such/file.hcl"}, 7, "/no/such/file.hcl"},
		{[]string{"run", "-c", s.file(s.echo(), queue("q")), "--pool", "No"}, 2, `pool "No"`},
		{[]string{"run", "-c", s.file(s.echo(), queue("q")), "--queue", "qq"}, 3, `did you mean "q"`},
		{[]string{"run", "-c", s.file(s.echo(), queue("q")), "--concurrency", "0"}, 2, "at least 1"},
		{[]string{"run", "-c", s.file(s.echo(), queue("q")), "--log-level", "loud"}, 2, "loud"},
	} {
		r := proc.Run(t, c.args...)
		if r.Code != c.code || !strings.Contains(r.Stderr, c.says) {
			t.Errorf("%v exits with %d, want %d and %q:\n%s", c.args, r.Code, c.code, c.says, r.Stderr)
		}
	}
}

func TestTwoOwnersOfOneQueue(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	proc.Worker(t, s.file(`owner = "one"`, s.echo(), queue("q")))
	r := proc.Run(t, "run", "-c", s.file(`owner = "two"`, s.echo(), queue("q"), queue("mine")))
	if r.Code != 4 || !strings.Contains(r.Stderr, `owner "one"`) {
		t.Errorf("exits with %d:\n%s", r.Code, r.Stderr)
	}
	if _, err := s.client.Queue(s.ctx(), "mine"); err == nil {
		t.Error("a refused file made a queue")
	}
}

func TestRedisNotReachable(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.redis.Kill()
	r := proc.Run(t, "run", "-c", s.file(s.echo(), queue("q")))
	if r.Code != 5 || !strings.Contains(r.Stderr, "redis") {
		t.Errorf("exits with %d:\n%s", r.Code, r.Stderr)
	}
}
