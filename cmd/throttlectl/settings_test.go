package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/throttlerd/throttlerd/internal/environ"
	"github.com/throttlerd/throttlerd/runtime/config"
)

// TestPrecedence walks down from flags to defaults: not parallel, because it changes
// the environment and the working directory.
func TestPrecedence(t *testing.T) {
	b := newBench(t)
	dir := t.TempDir()
	t.Chdir(dir)
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	nowhere := `redis { url = "redis://127.0.0.1:1/0" }` + "\n"
	here := `redis { url = "` + b.server.URL() + `" }` + "\n"
	other := write("other.hcl", `namespace = "in-other"`+"\n"+here)

	// where says which namespace the command ran in: the one that a queue is not found in
	where := func(args ...string) string {
		r := run("", append(args, "--timeout", "300ms", "queue", "show", "nowhere")...)
		if r.code == exitUnreachable {
			return "unreachable"
		}
		_, name, _ := strings.Cut(r.err, `in namespace "`)
		name, _, _ = strings.Cut(name, `"`)
		return name
	}
	expect := func(want string, args ...string) {
		t.Helper()
		if got := where(args...); got != want {
			t.Errorf("%q: %q, want %q", args, got, want)
		}
	}

	t.Setenv(config.EnvRedisURL, b.server.URL())
	expect("throttle")                                                                   // nothing says otherwise
	write("config.hcl", `namespace = "in-config"`+"\n"+nowhere+`handler "smtp" {}`+"\n") // its plugin is not here
	expect("in-config")                                                                  // the environment's Redis goes before the file's
	t.Setenv(config.EnvRedisURL, "")
	expect("unreachable") // the file's Redis
	expect("in-config", "--redis-url", b.server.URL())
	expect("in-other", "-c", other)
	t.Setenv(config.EnvConfig, other)
	expect("in-other")
	t.Setenv(config.EnvNamespace, "in-env")
	expect("in-env")
	expect("in-flag", "--namespace", "in-flag")
	t.Setenv(config.EnvRedisURL, "redis://127.0.0.1:1/0")
	expect("unreachable")
	expect("in-env", "--redis-url", b.server.URL())
	t.Setenv(config.EnvNamespace, "Not A Name")
	if r := run("", "queue", "list"); r.code != exitUsage || !strings.Contains(r.err, config.EnvNamespace) {
		t.Errorf("bad namespace in the environment: %+v", r)
	}
	t.Setenv(config.EnvNamespace, "")
	t.Setenv(config.EnvConfig, filepath.Join(dir, "absent.hcl"))
	if r := run("", "queue", "list"); r.code != exitInvalid {
		t.Errorf("file of the environment is absent: %+v", r)
	}
}

func TestMaxPayloadOfTheFile(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.queue("emails", "smtp", "")
	file := filepath.Join(t.TempDir(), "small.hcl")
	b.must(os.WriteFile(file, []byte(`max_payload = "16B"`+"\n"), 0o600))
	b.ok("-c", file, "submit", "emails", `{"a":"12345678"}`)
	for _, args := range [][]string{
		{"-c", file, "submit", "emails", `{"a":"123456789"}`},
		{"-c", file, "queue", "test", "emails", "1", "--payload", `{"a":"123456789"}`},
	} {
		r := b.run(args...)
		if r.code != exitInvalid || !strings.Contains(r.err, "16") || !strings.Contains(r.err, "max_payload") {
			t.Errorf("%q: %+v", args, r)
		}
	}
}

// A password is refused on the command line, taken from the environment and the file,
// and printed never.
func TestPasswords(t *testing.T) {
	b := newBench(t)
	rdb := b.server.Client()
	defer rdb.Close()
	b.must(rdb.ConfigSet(b.ctx(), "requirepass", "s3cret").Err())
	address := b.server.URL()
	withPassword := strings.Replace(address, "unix://", "unix://:s3cret@", 1)
	file := filepath.Join(t.TempDir(), "config.hcl")
	b.must(os.WriteFile(file, []byte(`redis { url = "`+withPassword+`" }`+"\n"), 0o600))

	runs := []struct {
		env  string
		args []string
		code int
	}{
		{"", []string{"--redis-url", withPassword, "queue", "list"}, exitUsage},
		{"", []string{"--redis-url", "redis://:s3cret@127.0.0.1:1/0", "queue", "list"}, exitUsage},
		{"", []string{"--redis-url", "redis://ann:s3c/ret@127.0.0.1:1/0", "queue", "list"}, exitUsage},
		{"", []string{"--redis-url", "redis://127.0.0.1:1/0?password=s3cret", "queue", "list"}, exitUsage},
		{"", []string{"--redis-url", address, "queue", "list"}, exitFailed}, // NOAUTH
		{strings.Replace(withPassword, "s3cret", "s3cret-not", 1), []string{"queue", "list"}, exitFailed},
		{withPassword, []string{"queue", "list"}, exitOK},
		{withPassword, []string{"queue", "list", "--json"}, exitOK},
		{"redis://:s3cret@127.0.0.1:1/0", []string{"--timeout", "50ms", "queue", "list"}, exitUnreachable},
		{"redis://:s3cret@127.0.0.1:x/0", []string{"queue", "list"}, exitUsage},
		{"", []string{"-c", file, "queue", "list"}, exitOK},
	}
	t.Setenv(environ.Password, "s3cret")
	if r := b.run("queue", "list"); r.code != exitOK { // --redis-url has no password
		t.Errorf("%+v", r)
	}
	t.Setenv(environ.Password, "")
	for _, s := range runs {
		t.Setenv(config.EnvRedisURL, s.env)
		r := run("", s.args...)
		if r.code != s.code {
			t.Errorf("%q with %q: exit %d, want %d: %s", s.args, s.env, r.code, s.code, r.err)
		}
		if strings.Contains(r.out+r.err, "s3c") {
			t.Errorf("%q with %q prints the password: %s%s", s.args, s.env, r.out, r.err)
		}
		if r.code == exitFailed {
			contains(t, r.err, "THROTTLE_REDIS_PASSWORD")
		}
	}
}
