//go:build linux

package doctest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/throttlerd/throttlerd/tests/proc"
)

func TestMain(m *testing.M) { os.Exit(proc.Main(m)) }

func TestReadme(t *testing.T) {
	t.Parallel()
	Run(t, "README.md")
}

func TestGoInDocuments(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{"*.md", "docs/*.md", "examples/*/*.md"} {
		files, err := filepath.Glob(filepath.Join(proc.ModuleRoot(t), pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			rel, _ := filepath.Rel(proc.ModuleRoot(t), f) // it is below
			Snippets(t, rel)
		}
	}
}
