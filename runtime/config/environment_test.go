package config

import (
	"strings"
	"testing"
)

// env is an environment of the given variables.
func env(pairs ...string) func(string) (string, bool) {
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
		env    func(string) (string, bool)
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
	c := mustLoad(t, "")
	if err := c.ApplyEnv(env()); err != nil || c.Namespace != "throttle" || c.Redis.URL != "redis://127.0.0.1:6379/0" {
		t.Errorf("default: %v, %v", c, err)
	}
	c = mustLoad(t, file)
	if err := c.ApplyEnv(env(EnvNamespace, "", EnvRedisURL, "")); err != nil || c.Namespace != "file" || c.Redis.Password != "hunter2" {
		t.Errorf("file: %v, %v", c, err)
	}
	if err := c.ApplyEnv(env(EnvNamespace, "env", EnvRedisURL, "redis://env:1")); err != nil ||
		c.Namespace != "env" || c.Redis != (Redis{URL: "redis://env:1"}) {
		t.Errorf("environment: %v, %v", c, err)
	}
	if err := c.SetNamespace("flag"); err != nil || c.Namespace != "flag" {
		t.Errorf("flag: %v, %v", c, err)
	}
	if err := c.SetRedisURL("redis://flag:1"); err != nil || c.Redis.URL != "redis://flag:1" {
		t.Errorf("flag: %v, %v", c, err)
	}
}

func TestBadEnvironmentChangesNothing(t *testing.T) {
	for _, lookup := range []func(string) (string, bool){
		env(EnvNamespace, "Not A Name"),
		env(EnvNamespace, "good", EnvRedisURL, "redis://:hunter2@h:port"),
	} {
		c := mustLoad(t, "")
		err := c.ApplyEnv(lookup)
		if err == nil || !strings.HasPrefix(err.Error(), "THROTTLE_") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
		if c.Namespace != "throttle" || c.Redis != Default().Redis {
			t.Errorf("changed: %v", c)
		}
	}
}
