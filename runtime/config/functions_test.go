package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFunctions(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "c.hcl")
	if err := os.WriteFile(filepath.Join(dir, "f.txt"), []byte("from a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ expr, want, errorText string }{
		{expr: `env("SET")`, want: "value"},
		{expr: `env("SET", "default")`, want: "value"},
		{expr: `env("EMPTY", "default")`, want: ""},
		{expr: `env("UNSET", "default")`, want: "default"},
		{expr: `env("UNSET")`, errorText: `environment variable "UNSET" is not set`},
		{expr: `env("SET", "a", "b")`, errorText: "at most one default"},
		{expr: `file("f.txt")`, want: "from a file"},
		{expr: `file("` + filepath.Join(dir, "f.txt") + `")`, want: "from a file"},
		{expr: `file("none.txt")`, errorText: "none.txt: no such file"},
		{expr: `file(".")`, errorText: "not a regular file"},
		{expr: `jsonencode({ a = [1, true, null] })`, want: `{"a":[1,true,null]}`},
		{expr: `format("%s-%03d %5.1f", "x", 7, 1.25)`, want: "x-007   1.2"},
		{expr: `lower("ABC")`, want: "abc"},
		{expr: `upper("abc")`, want: "ABC"},
		{expr: `join(", ", ["a", "b"], ["c"])`, want: "a, b, c"},
		{expr: `"${upper("a")}-${lower("B")}"`, want: "A-b"},
		{expr: `1 + 1 == 2 ? "yes" : "no"`, want: "yes"},
		{expr: `sha1("x")`, errorText: `no function named "sha1"`},
	}
	for _, tt := range tests {
		src := "handler \"h\" {\n  args = [" + tt.expr + "]\n}\n"
		if err := os.WriteFile(conf, []byte(src), 0o600); err != nil {
			t.Fatal(err)
		}
		opts := skipPlugins
		opts.LookupEnv = env("SET", "value", "EMPTY", "")
		c, diags := Load(conf, opts)
		switch {
		case tt.errorText != "":
			if diags.Len() != 1 || !strings.Contains(diags.Error(), tt.errorText) {
				t.Errorf("%s: %v, want %q", tt.expr, diags, tt.errorText)
			}
		case diags.Len() > 0:
			t.Errorf("%s: %v", tt.expr, diags)
		case c.Handlers[0].Args[0] != tt.want:
			t.Errorf("%s: %q, want %q", tt.expr, c.Handlers[0].Args[0], tt.want)
		}
	}
}

// A null default leaves the setting at its own default.
func TestEnvWithNullDefault(t *testing.T) {
	if c := mustLoad(t, `namespace = env("UNSET", null)`); c.Namespace != "throttle" {
		t.Error(c.Namespace)
	}
}
