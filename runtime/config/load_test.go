package config

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the expected texts of testdata")

// noEnv is an empty environment.
func noEnv(string) (string, bool) { return "", false }

// skipPlugins loads without looking for plugins and without an environment.
var skipPlugins = Options{SkipPlugins: true, LookupEnv: noEnv, PluginDir: "plugins"}

// load writes src to a file and loads it.
func load(t *testing.T, src string) (*Config, Diagnostics) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.hcl")
	if err := os.WriteFile(path, []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(path, skipPlugins)
}

// mustLoad is load of something without mistakes.
func mustLoad(t *testing.T, src string) *Config {
	t.Helper()
	c, diags := load(t, src)
	if diags.Len() > 0 {
		t.Fatalf("unexpected diagnostics:\n%s", text(t, diags))
	}
	return c
}

func text(t *testing.T, d Diagnostics) string {
	t.Helper()
	var b bytes.Buffer
	if err := d.Write(&b, 78, false); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestBadConfigs compares what each bad configuration of testdata/bad prints with the
// text beside it. Write them anew with -update, and read them.
func TestBadConfigs(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.hcl")
	if err != nil || len(files) == 0 {
		t.Fatal("no bad configurations", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".hcl"), func(t *testing.T) {
			opts := skipPlugins
			opts.SkipPlugins = !strings.Contains(file, "plugins")
			c, diags := Load(file, opts)
			if c != nil || !diags.HasErrors() {
				t.Error("loaded a bad configuration")
			}
			got := text(t, diags)
			if strings.Contains(got, "hunter2") || strings.Contains(diags.Error(), "hunter2") {
				t.Errorf("shows a secret:\n%s", got)
			}
			golden := strings.TrimSuffix(file, ".hcl") + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// One mistake is one diagnostic, whatever else is wrong.
func TestSixMistakesAreSixDiagnostics(t *testing.T) {
	_, diags := Load("testdata/bad/six-mistakes.hcl", skipPlugins)
	if diags.Len() != 6 {
		t.Errorf("%d diagnostics, want 6:\n%s", diags.Len(), text(t, diags))
	}
}

func TestEmptyFileIsAllDefaults(t *testing.T) {
	c := mustLoad(t, "")
	if c.Namespace != "throttle" || c.Owner != "default" || c.Concurrency != 256 ||
		c.Lease != 10*time.Second || c.Lookahead != 50*time.Millisecond ||
		c.DrainTimeout != 30*time.Second || c.MaxPayload != 256<<10 || c.Durability != "warn" ||
		c.Redis.URL != "redis://127.0.0.1:6379/0" || c.Log != (Log{"info", "text"}) {
		t.Errorf("defaults: %+v", *c)
	}
}

func TestBlocksHaveTheirDefaults(t *testing.T) {
	c := mustLoad(t, `
handler "echo" {}
queue "a" {}`)
	h, ok := c.Handler("echo")
	if !ok || h.Plugin != "echo" || h.Path != filepath.Join("plugins", "echo") ||
		h.Concurrency != 64 || !h.MTLS || string(h.Config) != "{}" {
		t.Errorf("handler: %+v", h)
	}
	q, ok := c.Queue("a")
	if !ok || q.Handler != "echo" || q.Pool != "default" || len(q.Rates) != 0 ||
		q.Timeout != 30*time.Second || q.History != 1000 || q.Paused ||
		q.Retry != (Retry{5, time.Second, 10 * time.Minute, 0.5}) {
		t.Errorf("queue: %+v", q)
	}
	if _, ok := c.Handler("x"); ok {
		t.Error("found a handler that is not there")
	}
	if _, ok := c.Queue("x"); ok {
		t.Error("found a queue that is not there")
	}
}

func TestEverySetting(t *testing.T) {
	c := mustLoad(t, `
namespace     = "acme"
owner         = "team-a"
plugin_dir    = "p"
concurrency   = 12
lease         = "2s"
lookahead     = "0s"
drain_timeout = "1h30m"
max_payload   = "1MiB"
durability    = "strict"

redis {
  url      = "rediss://redis.example.com:6380/3?read_timeout=3s"
  username = "worker"
  tls { server_name = "redis.internal" }
}

log {
  level  = "debug"
  format = "json"
}

handler "hook" {
  plugin      = "webhook"
  args        = ["-v"]
  env         = { LANG = "C" }
  concurrency = "8" # env gives text
  instances   = 2
  max_crashes = 5
  user        = "nobody"
  memory_max  = "64MiB"
  sha256      = "`+strings.Repeat("AB", 32)+`  webhook"
  mtls        = false
  config {
    url     = "https://example.com"
    headers = { Accept = "*/*" }
    sizes   = [1, 2.5, true, null]
    unset   = null
  }
}

queue "deploys" {
  handler = "hook"
  pool    = "fast"
  rate    = ["10/60s:5"]
  timeout = "7d"
  retry {
    max_attempts = 3
    min          = "10ms"
    max          = "20ms"
    jitter       = 0
  }
  history = 0
  paused  = true
}`)
	if c.Namespace != "acme" || c.Owner != "team-a" || c.Concurrency != 12 || c.Lease != 2*time.Second ||
		c.Lookahead != 0 || c.DrainTimeout != 90*time.Minute || c.MaxPayload != 1<<20 || c.Durability != "strict" {
		t.Errorf("top: %+v", *c)
	}
	if filepath.Base(c.PluginDir) != "p" || !filepath.IsAbs(c.PluginDir) {
		t.Errorf("plugin_dir is not beside its file: %s", c.PluginDir)
	}
	if c.Redis.URL != "rediss://redis.example.com:6380/3?read_timeout=3s" || c.Redis.Username != "worker" ||
		*c.Redis.TLS != (TLS{ServerName: "redis.internal"}) {
		t.Errorf("redis: %+v", c.Redis)
	}
	h := c.Handlers[0]
	if h.Path != filepath.Join(c.PluginDir, "webhook") || h.Args[0] != "-v" || h.Env["LANG"] != "C" ||
		h.Concurrency != 8 || h.Instances != 2 || h.MaxCrashes != 5 || h.User != "nobody" || h.MemoryMax != 64<<20 || h.SHA256 != strings.Repeat("ab", 32) || h.MTLS {
		t.Errorf("handler: %+v", h)
	}
	if want := `{"headers":{"Accept":"*/*"},"sizes":[1,2.5,true,null],"url":"https://example.com"}`; string(h.Config) != want {
		t.Errorf("config:\n%s\nwant:\n%s", h.Config, want)
	}
	q := c.Queues[0]
	if q.Pool != "fast" || len(q.Rates) != 1 || q.Rates[0].String() != "10/1m:5" || q.Timeout != 7*24*time.Hour ||
		q.Retry != (Retry{3, 10 * time.Millisecond, 20 * time.Millisecond, 0}) || q.History != 0 || !q.Paused {
		t.Errorf("queue: %+v", q)
	}
}

func TestDirectoryIsOneConfiguration(t *testing.T) {
	c, diags := Load("testdata/good/dir", skipPlugins)
	if diags.Len() > 0 {
		t.Fatal(text(t, diags))
	}
	if c.Namespace != "acme" || len(c.Queues) != 2 || c.Queues[0].Name != "first" || c.Queues[1].Handler != "echo" {
		t.Errorf("%+v", *c)
	}
}

func TestDuplicatesOverFilesNameBothPlaces(t *testing.T) {
	dir := t.TempDir()
	for name, src := range map[string]string{
		"a.hcl": "namespace = \"a\"\nhandler \"echo\" {}\nqueue \"q\" {}\n",
		"b.hcl": "namespace = \"b\"\nhandler \"echo\" {}\nqueue \"q\" {}\n",
		"c.txt": "not ours",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(src), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, diags := Load(dir, skipPlugins)
	got := text(t, diags)
	if diags.Len() != 3 {
		t.Errorf("%d diagnostics, want 3:\n%s", diags.Len(), got)
	}
	for _, line := range []string{":1", ":2", ":3"} {
		if !strings.Contains(got, "a.hcl"+line) {
			t.Errorf("does not name the first place, a.hcl%s:\n%s", line, got)
		}
		if !strings.Contains(got, "b.hcl line "+line[1:]) {
			t.Errorf("does not name the second place, b.hcl line %s:\n%s", line[1:], got)
		}
	}
}

func TestWhatCannotBeRead(t *testing.T) {
	empty := t.TempDir()
	for path, want := range map[string]string{
		filepath.Join(empty, "none.hcl"): "no such file",
		empty:                            "no *.hcl file",
	} {
		c, diags := Load(path, skipPlugins)
		if c != nil || !strings.Contains(diags.Error(), want) {
			t.Errorf("%s: %v, want %q", path, diags, want)
		}
	}
}
