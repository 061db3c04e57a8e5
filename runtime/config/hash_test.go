package config

import (
	"strings"
	"testing"
)

func TestHash(t *testing.T) {
	base := `
handler "h" {
  env = { A = "1" }
  config { url = "u" }
}
queue "a" { rate = "10/60s" }
queue "b" {}
limit "l" {
  rate        = ["10/60s", "300/1h:20"]
  concurrency = 20
}
queue "c" {
  limits = ["l"]
  key { rate = "5/1s" }
  exception "x" { weight = 4 }
  exception "y" { rate = "unlimited" }
}
`
	want := mustLoad(t, base).Hash()
	if len(want) != 12 {
		t.Errorf("%q", want)
	}
	same := map[string]string{
		"comment, order, spelling": `
queue "c" {
  limits = ["l"]
  key {
    rate = ["5/1000ms"]
    exception "y" {
      rate   = "unlimited"
      weight = null
    }
    exception "x" { weight = 4 }
    weight = 1
  }
}
queue "b" { limits = [] }
queue "a" {
  rate     = ["10/1m:1"]
  debt_max = 0
}
limit "l" {
  concurrency = 20
  rate        = ["10/1m", "300/60m:20"]
}
handler "h" {
  plugin = "h"
  env    = { A = "1" }
  config { url = lower("U") }
}`,
		"password":   base + `redis { url = "redis://:hunter2@127.0.0.1:6379/0" }`,
		"plugin_dir": base + `plugin_dir = "elsewhere"`,
	}
	for name, src := range same {
		if got := mustLoad(t, src).Hash(); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	changed := func(old, new string) string {
		if !strings.Contains(base, old) {
			t.Fatalf("the base has no %s", old)
		}
		return strings.Replace(base, old, new, 1)
	}
	other := map[string]string{
		"top":                  base + `lease = "11s"`,
		"redis":                base + `redis { url = "redis://127.0.0.1:6379/1" }`,
		"queue":                base + `queue "d" {}`,
		"rate":                 changed(`{ rate = "10/60s" }`, `{ rate = "11/60s" }`),
		"more rates":           changed(`{ rate = "10/60s" }`, `{ rate = ["10/60s", "1/1s"] }`),
		"env":                  changed(`A = "1"`, `A = "2"`),
		"config":               changed(`url = "u"`, `url = "v"`),
		"limit":                base + `limit "m" { concurrency = 1 }`,
		"rate of a limit":      changed("300/1h:20", "300/1h:21"),
		"concurrency":          changed("concurrency = 20", "concurrency = 21"),
		"debt_max":             changed("concurrency = 20", "concurrency = 20\n debt_max = 1"),
		"no limits":            changed(`limits = ["l"]`, ``),
		"concurrency of queue": changed(`limits = ["l"]`, "limits = [\"l\"]\nconcurrency = 1"),
		"debt_max of queue":    changed(`{ rate = "10/60s" }`, "{\n rate = \"10/60s\"\n debt_max = 1\n}"),
		"key":                  changed(`queue "b" {}`, "queue \"b\" {\n key {}\n}"),
		"rate of keys":         changed(`key { rate = "5/1s" }`, `key { rate = "6/1s" }`),
		"concurrency of keys":  changed(`key { rate = "5/1s" }`, "key {\n rate = \"5/1s\"\n concurrency = 2\n}"),
		"weight of keys":       changed(`key { rate = "5/1s" }`, "key {\n rate = \"5/1s\"\n weight = 2\n}"),
		"key of an exception":  changed(`exception "x"`, `exception "z"`),
		"weight of a key":      changed("weight = 4", "weight = 5"),
		"as for all keys":      changed(`exception "y" { rate = "unlimited" }`, ""),
		"rate of a key":        changed(`rate = "unlimited"`, `rate = "50/1s"`),
		"concurrency of a key": changed(`{ weight = 4 }`, "{\n weight = 4\n concurrency = 1\n}"),
		"no cap of a key":      changed(`{ weight = 4 }`, "{\n weight = 4\n concurrency = 0\n}"),
	}
	hashes := map[string]string{want: "base"}
	for name, src := range other {
		got := mustLoad(t, src).Hash()
		if like, ok := hashes[got]; ok {
			t.Errorf("%s: the hash is that of %s", name, like)
		}
		hashes[got] = name
	}
}

func TestFormat(t *testing.T) {
	got, diags := Format("c.hcl", []byte("a=1\nqueue \"x\"   {\nrate=\"1/1s\"\n  }\n"))
	if want := "a = 1\nqueue \"x\" {\n  rate = \"1/1s\"\n}\n"; diags.Len() > 0 || string(got) != want {
		t.Errorf("%v:\n%s", diags, got)
	}
	broken := []byte("a = [1")
	if got, diags = Format("c.hcl", broken); !diags.HasErrors() || string(got) != string(broken) {
		t.Errorf("%v:\n%s", diags, got)
	}
}

func TestParseDuration(t *testing.T) {
	for in, want := range map[string]string{"1h30m": "1h30m", "7d": "7d", "90s": "1m30s", "0s": "0s", "1500ms": "1.5s", "24h": "1d"} {
		if d, err := ParseDuration(in); err != nil || formatDuration(d) != want {
			t.Errorf("%s: %s, %v, want %s", in, formatDuration(d), err, want)
		}
	}
	for _, in := range []string{"", "10", "d", "1.5d", "1 s", "999999999d", "9999999h", "soon"} {
		if d, err := ParseDuration(in); err == nil {
			t.Errorf("%q: %v", in, d)
		}
	}
}
