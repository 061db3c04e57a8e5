package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/throttlerd/throttlerd/internal/environ"
)

// env is an environment of the given variables.
func env(pairs ...string) environ.Lookup {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

func TestPath(t *testing.T) {
	tests := []struct {
		flag   string
		env    environ.Lookup
		path   string
		chosen bool
	}{
		{"", env(), "config.hcl", false},
		{"", env(EnvConfig, ""), "config.hcl", false},
		{"", env(EnvConfig, "e.hcl"), "e.hcl", true},
		{"f.hcl", env(EnvConfig, "e.hcl"), "f.hcl", true},
	}
	for _, tt := range tests {
		if path, chosen := Path(tt.flag, tt.env); path != tt.path || chosen != tt.chosen {
			t.Errorf("flag %q: %q %v, want %q %v", tt.flag, path, chosen, tt.path, tt.chosen)
		}
	}
}

// Flag before environment before file before default.
func TestPrecedence(t *testing.T) {
	const file = `
namespace = "file"
redis {
  url = "redis://me:hunter2@file"
}`
	pw := filepath.Join(t.TempDir(), "pw")
	if err := os.WriteFile(pw, []byte("of a file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const local = "redis://127.0.0.1:6379/0"
	flags := Flags{RedisURL: "redis://flag:1", Namespace: "flag"}
	tests := []struct {
		name      string
		file      string
		flags     Flags
		env       environ.Lookup
		namespace string
		redis     Redis
	}{
		{"default", "", Flags{}, env(), "throttle", Redis{URL: local}},
		{"file", file, Flags{}, env(EnvNamespace, "", EnvRedisURL, ""), "file", Redis{URL: "redis://file", Username: "me", Password: "hunter2"}},
		{"environment", file, Flags{}, env(EnvNamespace, "env", EnvRedisURL, "redis://env:1"), "env", Redis{URL: "redis://env:1"}},
		{"flags", file, flags, env(EnvNamespace, "env", EnvRedisURL, "redis://env:1"), "flag", Redis{URL: "redis://flag:1"}},
		{"flags alone", "", flags, env(), "flag", Redis{URL: "redis://flag:1"}},
		{"password of the environment", file, Flags{}, env(environ.Password, "sesame"), "file", Redis{URL: "redis://file", Username: "me", Password: "sesame"}},
		{"user and password file", file, Flags{}, env(environ.Username, "you", environ.PasswordFile, pw), "file", Redis{URL: "redis://file", Username: "you", Password: "of a file"}},
		{"address of a flag, password of the environment", "", flags, env(environ.Password, "sesame"), "flag", Redis{URL: "redis://flag:1", Password: "sesame"}},
		{"TLS", "", Flags{}, env(EnvRedisURL, "rediss://env", environ.CAFile, "ca"), "throttle", Redis{URL: "rediss://env", TLS: &TLS{CAFile: "ca"}}},
		{"an address over a cluster", "redis {\n  cluster {\n    addresses = [\"a:1\"]\n  }\n}", Flags{}, env(EnvRedisURL, "redis://env:1"), "throttle", Redis{URL: "redis://env:1"}},
		{"TLS for others", "", Flags{}, env(environ.CAFile, "ca"), "throttle", Redis{URL: local}},
	}
	for _, tt := range tests {
		c := mustLoad(t, tt.file)
		err := c.Override(tt.flags, tt.env)
		if err != nil || c.Namespace != tt.namespace || !reflect.DeepEqual(c.Redis, tt.redis) {
			t.Errorf("%s: %q %#v %q, %v", tt.name, c.Namespace, c.Redis, c.Redis.Password, err)
		}
	}
}

func TestBadEnvironmentChangesNothing(t *testing.T) {
	for _, lookup := range []environ.Lookup{
		env(EnvNamespace, "Not A Name"),
		env(EnvNamespace, "good", EnvRedisURL, "redis://:hunter2@h:port"),
		env(EnvNamespace, "good", EnvRedisURL, "redis://:hunter2@h", environ.Password, "hunter2"),
		env(EnvNamespace, "good", EnvRedisURL, "redis://me@h", environ.Username, "you"),
		env(environ.Password, "hunter2", environ.PasswordFile, "hunter2.txt"),
		env(environ.PasswordFile, "/nowhere/to/be/found"),
		env(environ.PasswordFile, os.DevNull),
		env(environ.KeyFile, "key"),
	} {
		c := mustLoad(t, "")
		err := c.Override(Flags{}, lookup)
		if err == nil || !strings.HasPrefix(err.Error(), "THROTTLE_") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
		if c.Namespace != "throttle" || !reflect.DeepEqual(c.Redis, Default().Redis) {
			t.Errorf("changed: %v", c)
		}
	}
}
