//go:build unix

package pluginapi

import (
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/throttlerd/throttlerd/pluginapi/handlerpb"
)

// dieWithHost ends the process, and what it started in its process group, as
// soon as the host is gone: the host holds the other end of a pipe and writes
// nothing to it, so its end is the end of the host.
func dieWithHost() {
	fd, err := strconv.Atoi(os.Getenv(handlerpb.EnvLifeline))
	if err != nil || fd < 3 {
		return // the host offers none
	}
	os.Unsetenv(handlerpb.EnvLifeline)
	unix.CloseOnExec(fd)
	lifeline := os.NewFile(uintptr(fd), "lifeline")
	go func() {
		for buf := make([]byte, 1); ; {
			if n, err := lifeline.Read(buf); n == 0 && err != nil {
				break
			}
		}
		if pid := os.Getpid(); syscall.Getpgrp() == pid {
			syscall.Kill(-pid, syscall.SIGKILL)
		}
		os.Exit(1)
	}()
}

// redirectStdout makes the file descriptor of stdout one of stderr, for prints
// that bypass os.Stdout.
func redirectStdout(stdout, stderr *os.File) {
	if err := unix.Dup2(int(stderr.Fd()), int(stdout.Fd())); err != nil {
		stderr.WriteString("redirect stdout: " + err.Error() + "\n")
	}
}
