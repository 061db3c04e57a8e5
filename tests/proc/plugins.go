//go:build linux

package proc

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

var nodePlugin = sync.OnceValues(buildNode)

// Plugin builds a plugin, whose package is named from the module's root, and returns its
// binary.
func Plugin(tb testing.TB, pkg string) string {
	tb.Helper()
	path := filepath.Join(must(tb, directory), "one", filepath.Base(pkg))
	if err := build(filepath.Dir(path)+"/", pkg); err != nil {
		tb.Fatal(err)
	}
	return path
}

// NodePlugin is the plugin of examples/node-plugin, in a copy of its folder that has its
// dependencies.
func NodePlugin(tb testing.TB) string {
	tb.Helper()
	return must(tb, nodePlugin)
}

func buildNode() (string, error) {
	root, err := root()
	if err != nil {
		return "", err
	}
	dir, err := directory()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(dir, "node-plugin")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(root, "examples", "node-plugin"))); err != nil {
		return "", err
	}
	cmd := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", "--prefer-offline")
	cmd.Dir = dir
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci, for which make programs installs npm: %w\n%s", err, text)
	}
	return filepath.Join(dir, "plugin.js"), nil
}
