//go:build linux

package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/throttlerd/throttlerd/tests/proc"
)

// Each of the defects names tests, and all of them are there.
func TestDefectsNameTheirTests(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("defects.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\| (\d+) \|.*\| (.*) \|$`).FindAllStringSubmatch(string(text), -1)
	if len(rows) != 25 {
		t.Errorf("%d defects, not 25", len(rows))
	}
	for i, row := range rows {
		if row[1] != fmt.Sprint(i+1) {
			t.Errorf("row %d has the number %s", i+1, row[1])
		}
		for _, name := range strings.Split(row[2], "<br>") {
			m := regexp.MustCompile("^`([a-z/]+) (Test[A-Za-z]+)`$").FindStringSubmatch(name)
			if m == nil || !hasTest(t, m[1], m[2]) {
				t.Errorf("defect %s names %s, which is no test", row[1], name)
			}
		}
	}
}

// hasTest tells whether a package, named from the module's root, has a test.
func hasTest(t *testing.T, pkg, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(proc.ModuleRoot(t), pkg, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(src), "\nfunc "+name+"(t *testing.T) {") {
			return true
		}
	}
	return false
}
