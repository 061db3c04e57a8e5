package config

import "testing"

func TestHash(t *testing.T) {
	base := `
handler "h" {
  env = { A = "1" }
  config { url = "u" }
}
queue "a" { rate = "10/60s" }
queue "b" {}
`
	want := mustLoad(t, base).Hash()
	if len(want) != 12 {
		t.Errorf("%q", want)
	}
	same := map[string]string{
		"comment, order, spelling": `
queue "b" {} # last
queue "a" { rate = ["10/1m:1"] }
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
	other := map[string]string{
		"top":    base + `lease = "11s"`,
		"redis":  base + `redis { url = "redis://127.0.0.1:6379/1" }`,
		"queue":  base + `queue "c" {}`,
		"rate":   "handler \"h\" {\n env = { A = \"1\" }\n config { url = \"u\" }\n}\nqueue \"a\" { rate = \"11/60s\" }\nqueue \"b\" {}",
		"env":    "handler \"h\" {\n env = { A = \"2\" }\n config { url = \"u\" }\n}\nqueue \"a\" { rate = \"10/60s\" }\nqueue \"b\" {}",
		"config": "handler \"h\" {\n env = { A = \"1\" }\n config { url = \"v\" }\n}\nqueue \"a\" { rate = \"10/60s\" }\nqueue \"b\" {}",
	}
	for name, src := range other {
		if got := mustLoad(t, src).Hash(); got == want {
			t.Errorf("%s: the hash is the same", name)
		}
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
