//go:build linux

package doctest

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/throttlerd/throttlerd/tests/proc"
)

// Snippets demands that each block of Go in a Markdown file is a part of a Go file of
// the module, but for indentation: so it compiles, and is run where that file is.
func Snippets(t *testing.T, file string) {
	t.Helper()
	root := proc.ModuleRoot(t)
	text, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	var sources []string
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		src, err := os.ReadFile(path)
		sources = append(sources, bare(string(src)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, block := range strings.Split("\n"+string(text), "\n```go\n")[1:] {
		block, _, _ = strings.Cut(block, "\n```")
		found := false
		for _, src := range sources {
			found = found || strings.Contains(src, bare(block))
		}
		if !found {
			t.Errorf("%s: Go block %d is in no Go file of the module:\n%s", file, i+1, block)
		}
	}
}

// bare is a text without indentation, between newlines.
func bare(text string) string {
	var b strings.Builder
	b.WriteByte('\n')
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimSpace(line) + "\n")
	}
	return b.String()
}
