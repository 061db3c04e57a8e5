//go:build unix && !linux

package pluginhost

import (
	"errors"
	"syscall"
)

// cage is for Linux alone.
type cage struct{}

func newCage(string, int64) (*cage, error) {
	return nil, errors.New("bounds on memory need Linux; on this system it has no effect")
}

func (c *cage) attrs(*syscall.SysProcAttr) {}
func (c *cage) overflowed() bool           { return false }
func (c *cage) remove()                    {}

// residentMemory is not known here.
func residentMemory(int) int64 { return 0 }
