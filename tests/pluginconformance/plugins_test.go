//go:build linux

// Package pluginconformance is what a handler plugin must do, whatever it is written in.
// It starts plugins as throttlerd does and hands them tasks.
//
// THROTTLE_CONFORMANCE_PLUGIN names a binary that is tested instead of the plugins here;
// docs/plugin-protocol.md says what it has to understand.
package pluginconformance

import (
	"os"
	"testing"

	"github.com/throttlerd/throttlerd/tests/proc"
)

func TestMain(m *testing.M) { os.Exit(proc.Main(m)) }

// plugin is one that is tested.
type plugin struct {
	name   string
	path   string
	mtls   bool
	env    map[string]string
	config string // that it needs
}

// each runs a test for every plugin.
func each(t *testing.T, test func(*testing.T, plugin)) {
	t.Helper()
	for _, p := range plugins(t) {
		t.Run(p.name, func(t *testing.T) { test(t, p) })
	}
}

var given = os.Getenv("THROTTLE_CONFORMANCE_PLUGIN")

// plugins are those that do what echo's scripts say.
func plugins(t *testing.T) []plugin {
	t.Helper()
	path := map[string]string{"PATH": os.Getenv("PATH")} // for the interpreter of a script
	if given != "" {
		return []plugin{{name: "given", path: given, env: path, mtls: os.Getenv("THROTTLE_CONFORMANCE_MTLS") == "true"}}
	}
	return []plugin{
		{name: "echo", path: proc.Plugin(t, "./plugins/echo"), mtls: true},
		{name: "node", path: proc.NodePlugin(t), env: path},
	}
}
