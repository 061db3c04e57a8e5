package pluginhost

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// pinnedFD is the descriptor of a program's copy in its process, after the lifeline's.
const pinnedFD = 4

// privateCopy is a file in memory that nobody else can open.
type privateCopy struct{ file *os.File }

func newCopy(string) (*privateCopy, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate("plugin", flags|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // a kernel before 6.3, where all of them may be executed
		fd, err = unix.MemfdCreate("plugin", flags)
	}
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	return &privateCopy{os.NewFile(uintptr(fd), "plugin")}, nil
}

func (c *privateCopy) drop() { c.file.Close() }

// seal makes the copy unchangeable and returns it as a program.
func (c *privateCopy) seal() (program, error) {
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(c.file.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		c.drop()
		return program{}, os.NewSyscallError("seal", err)
	}
	return program{path: fmt.Sprintf("/proc/self/fd/%d", pinnedFD), file: c.file, drop: c.drop}, nil
}
