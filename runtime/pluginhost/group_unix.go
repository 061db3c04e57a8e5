//go:build unix && !linux

package pluginhost

import (
	"os/exec"
	"syscall"
)

// processAttrs puts the plugin in a process group of its own. The lifeline ends
// it when the host dies.
func processAttrs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// awaitExit waits for the process to end.
func awaitExit(cmd *exec.Cmd) { cmd.Wait() }
