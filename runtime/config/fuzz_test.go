package config

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// FuzzLoad: whatever the file holds, Load returns a Config or errors, prints them,
// and what it formats stays what it is.
func FuzzLoad(f *testing.F) {
	seeds, err := filepath.Glob("testdata/bad/*.hcl")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range append(seeds, "../../config.hcl.example", "testdata/good/limits.hcl") {
		src, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		path := filepath.Join(t.TempDir(), "config.hcl")
		if err := os.WriteFile(path, src, 0o600); err != nil {
			t.Fatal(err)
		}
		c, diags := Load(path, skipPlugins)
		if (c == nil) != diags.HasErrors() {
			t.Fatalf("config %v with diagnostics %v", c, diags)
		}
		var out bytes.Buffer
		if err := diags.Write(&out, 80, false); err != nil {
			t.Fatal(err)
		}
		if _, err := diags.MarshalJSON(); err != nil {
			t.Fatal(err)
		}
		if c == nil {
			return
		}
		formatted, diags := Format(path, src)
		if diags.HasErrors() {
			t.Fatalf("loads but can't be formatted: %v", diags)
		}
		if err := os.WriteFile(path, formatted, 0o600); err != nil {
			t.Fatal(err)
		}
		again, diags := Load(path, skipPlugins)
		if diags.HasErrors() || again.Hash() != c.Hash() {
			t.Fatalf("formatting changed it: %v\n%s", diags, formatted)
		}
	})
}
