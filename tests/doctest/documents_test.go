//go:build linux

package doctest

import (
	"os"
	"testing"

	"github.com/throttlerd/throttlerd/tests/proc"
)

func TestMain(m *testing.M) { os.Exit(proc.Main(m)) }

// Every document says what happens.
func TestDocuments(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"README.md"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			Run(t, file)
		})
	}
}
