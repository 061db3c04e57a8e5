package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseRedisURL(t *testing.T) {
	tests := []struct {
		in                  string
		url, user, password string // url "": refused
	}{
		{"redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0", "", ""},
		{"redis://localhost", "redis://localhost", "", ""},
		{"redis://:pw@h:1/2", "redis://h:1/2", "", "pw"},
		{"rediss://me:p%40w@h:1", "rediss://h:1", "me", "p@w"},
		{"unix:///run/redis.sock?db=2", "unix:///run/redis.sock?db=2", "", ""},
		{"unix://me:pw@/run/redis.sock", "unix:///run/redis.sock", "me", "pw"},
		{"redis://[::1]:6379/1", "redis://[::1]:6379/1", "", ""},
		{in: ""},
		{in: "127.0.0.1:6379"},
		{in: "localhost:6379"},
		{in: "http://h"},
		{in: "redis://h:99999"},
		{in: "redis://h:port"},
		{in: "redis://h/db"},
		{in: "redis://h/-1"},
		{in: "redis://:hunter2#@h"},
		{in: "redis://:hunter2/@h"},
		{in: "redis://h?password=hunter2"},
		{in: "unix://run/redis.sock"},
		{in: "redis://:hunter2%zz@h"},
	}
	for _, tt := range tests {
		r, err := ParseRedisURL(tt.in)
		if (err == nil) != (tt.url != "") || r.URL != tt.url || r.Username != tt.user || r.Password != tt.password {
			t.Errorf("%q: %q %q %q, %v", tt.in, r.URL, r.Username, r.Password, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: the error shows the password: %v", tt.in, err)
		}
	}
}

func TestPasswordFile(t *testing.T) {
	dir := t.TempDir()
	password, conf := filepath.Join(dir, "pw"), filepath.Join(dir, "c.hcl")
	write := func(path, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	write(conf, "redis {\n  username = \"me\"\n  password_file = \"pw\"\n}\n", 0o600)

	write(password, "sesame\n", 0o600)
	c, diags := Load(conf, skipPlugins)
	if diags.Len() > 0 || c.Redis.Password != "sesame" || c.Redis.Username != "me" {
		t.Fatalf("%v", diags)
	}

	write(password, "sesame\n", 0o644)
	c, diags = Load(conf, skipPlugins)
	if c == nil || diags.Len() != 1 || diags.HasErrors() || !strings.Contains(diags.Error(), "chmod o-rwx") {
		t.Errorf("a password that all may read: %v", diags)
	}

	write(password, "\n", 0o600)
	if _, diags = Load(conf, skipPlugins); !strings.Contains(diags.Error(), "holds no password") {
		t.Errorf("an empty password: %v", diags)
	}
}

func TestNothingPrintsThePassword(t *testing.T) {
	c := mustLoad(t, `redis { url = "redis://me:hunter2@127.0.0.1:6379" }`)
	if c.Redis.Password != "hunter2" {
		t.Fatal("the password is lost")
	}
	asJSON, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{
		c.String(), fmt.Sprintf("%v|%+v|%#v|%s", c, c, c, c), fmt.Sprintf("%v|%+v|%#v", c.Redis, c.Redis, c.Redis),
		fmt.Sprintf("%+v", *c), string(asJSON), c.HandlerDiagnostic("x", "", "y").Error(),
	} {
		if strings.Contains(s, "hunter2") {
			t.Errorf("shows the password: %s", s)
		}
	}
	if !strings.Contains(c.String(), `redis://127.0.0.1:6379 as user "me" with a password`) {
		t.Error(c.String())
	}
}

func TestMaskKeepsPositions(t *testing.T) {
	for in, want := range map[string]string{
		`url = "redis://u:p@h"`:          `url = "redis://u:*@h"`,
		`url = "redis://h:6379" # a@b`:   `url = "redis://h:6379" # a@b`,
		`addresses = ["u:p@h:1", "h:2"]`: `addresses = ["u:*@h:1", "h:2"]`,
		`"X-Api-Key" = "abc"`:            `"X-Api-Key" = "***"`,
		`token = "a\"b" # c`:             `token = "****" # c`,
		`env = { API_KEY = "x", B="y" }`: `env = { API_KEY = "*", B="y" }`,
		`"db-password": "x"`:             `"db-password": "*"`,
		`password_file = "/etc/pw"`:      `password_file = "/etc/pw"`,
		"a = \"\x1b[2J\"\t":              "a = \"?[2J\"\t",
	} {
		if got := string(mask([]byte(in), false)); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// An address with a password is refused without being shown.
func TestPasswordInAnAddressIsNotShown(t *testing.T) {
	env := func(string) (string, bool) { return "redis://:s3cret@h:6379", true }
	for _, address := range []string{`env("NODE")`, `":s3cret@h:6379"`, `"redis://:s3cret@h:6379"`, `"u:s3cret@h:6379"`} {
		path := filepath.Join(t.TempDir(), "c.hcl")
		text := "redis {\n  cluster {\n    addresses = [" + address + "]\n  }\n}\n"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, diags := Load(path, Options{LookupEnv: env})
		var out bytes.Buffer
		if err := diags.Write(&out, 80, false); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), "Invalid address") || strings.Contains(out.String()+diags.Error(), "s3cret") {
			t.Errorf("%s:\n%s", address, out.String())
		}
	}
}

// Where handlers do not run, what they are given is not asked for.
func TestSkipValuesNeedsNoSecrets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.hcl")
	text := "handler \"h\" {\n  args = [env(\"A\")]\n  env = { B = env(\"B\") }\n  config {\n    key = env(\"C\")\n  }\n}\nqueue \"q\" {\n  handler = \"h\"\n}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	opts := Options{SkipPlugins: true, LookupEnv: noEnv}
	if _, diags := Load(path, opts); !diags.HasErrors() {
		t.Error("a worker loads it without its secrets")
	}
	opts.SkipValues = true
	c, diags := Load(path, opts)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	if h, ok := c.Handler("h"); !ok || len(h.Args)+len(h.Env) > 0 || string(h.Config) != "{}" && h.Config != nil || len(c.Queues) != 1 {
		t.Errorf("%+v", c)
	}
}
