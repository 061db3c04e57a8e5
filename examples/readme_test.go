//go:build linux

package examples

import (
	"os"
	"testing"

	"github.com/throttlerd/throttlerd/tests/doctest"
	"github.com/throttlerd/throttlerd/tests/proc"
)

func TestMain(m *testing.M) { os.Exit(proc.Main(m)) }

// Every example's session goes as its README says.
func TestReadme(t *testing.T) {
	t.Parallel()
	for _, folder := range []string{"pools", "services", "api-limits", "batch", "custom-handler", "node-plugin"} {
		t.Run(folder, func(t *testing.T) {
			t.Parallel()
			doctest.Run(t, "examples/"+folder+"/README.md")
		})
	}
}
