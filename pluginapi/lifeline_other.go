//go:build !unix

package pluginapi

import "os"

// dieWithHost does nothing here: the host has no lifeline to pass.
func dieWithHost() {}

// redirectStdout does nothing here: only os.Stdout is redirected.
func redirectStdout(_, _ *os.File) {}
