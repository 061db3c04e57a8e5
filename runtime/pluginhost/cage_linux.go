package pluginhost

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// cage is a cgroup (version 2) of one plugin process and its children. Without one, all
// methods do nothing.
type cage struct {
	dir  string
	file *os.File // the directory, open
}

var cages atomic.Int64 // made so far, for their names

// newCage makes a cgroup whose processes have at most so many bytes of memory together.
func newCage(handler string, most int64) (*cage, error) {
	mount, own, err := ownCgroup()
	if err != nil {
		return nil, err
	}
	return cageIn(mount, own, handler, most)
}

// cageIn makes it below the own cgroup or beside it: where the memory controller is on
// for children, or can be turned on.
func cageIn(mount, own, handler string, most int64) (*cage, error) {
	var failure error
	for _, path := range []string{own, filepath.Dir(own)} {
		parent := filepath.Join(mount, path)
		dir := filepath.Join(parent, fmt.Sprintf("throttlerd-%d-%s-%d", os.Getpid(), handler, cages.Add(1)))
		err := enableMemory(parent)
		if err == nil {
			err = os.Mkdir(dir, 0o755)
		}
		if err == nil {
			if err = os.WriteFile(filepath.Join(dir, "memory.max"), fmt.Append(nil, most), 0o644); err == nil {
				// a bound on swap and the death of all together are as the kernel has them
				_ = os.WriteFile(filepath.Join(dir, "memory.swap.max"), []byte("0"), 0o644)
				_ = os.WriteFile(filepath.Join(dir, "memory.oom.group"), []byte("1"), 0o644)
				var f *os.File
				if f, err = os.Open(dir); err == nil {
					return &cage{dir, f}, nil
				}
			}
			os.Remove(dir)
		}
		failure = errors.Join(failure, err)
		if path == "/" {
			break
		}
	}
	return nil, fmt.Errorf("no cgroup for it (with systemd: Delegate=memory and DelegateSubgroup=throttlerd): %s",
		strings.ReplaceAll(failure.Error(), "\n", "; "))
}

// enableMemory sees to it that children of a cgroup can have a bound on their memory.
func enableMemory(parent string) error {
	control := filepath.Join(parent, "cgroup.subtree_control")
	on, err := os.ReadFile(control)
	if err != nil || bytes.Contains(on, []byte("memory")) {
		return err
	}
	return os.WriteFile(control, []byte("+memory"), 0o644)
}

// ownCgroup returns where cgroups of version 2 are mounted and which is ours.
func ownCgroup() (mount, own string, err error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", "", err
	}
	for line := range strings.Lines(string(mounts)) {
		if before, after, _ := strings.Cut(line, " - "); strings.HasPrefix(after, "cgroup2 ") {
			if f := strings.Fields(before); len(f) > 4 {
				mount = f[4]
			}
		}
	}
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", "", err
	}
	for line := range strings.Lines(string(groups)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			own = path
		}
	}
	if mount == "" || own == "" {
		return "", "", errors.New("this machine has no cgroups of version 2")
	}
	return mount, own, nil
}

// attrs puts the process that is started with them into the cage.
func (c *cage) attrs(a *syscall.SysProcAttr) {
	if c != nil {
		a.UseCgroupFD, a.CgroupFD = true, int(c.file.Fd())
	}
}

// overflowed tells whether the kernel killed something in the cage for its memory.
func (c *cage) overflowed() bool {
	if c == nil {
		return false
	}
	events, _ := os.ReadFile(filepath.Join(c.dir, "memory.events")) // none: nothing is known
	for line := range strings.Lines(string(events)) {
		if n, ok := strings.CutPrefix(line, "oom_kill "); ok {
			kills, _ := strconv.Atoi(strings.TrimSpace(n))
			return kills > 0
		}
	}
	return false
}

// remove kills what is left in the cage, such as children that left the process group,
// and takes it away.
func (c *cage) remove() {
	if c == nil {
		return
	}
	c.file.Close()
	_ = os.WriteFile(filepath.Join(c.dir, "cgroup.kill"), []byte("1"), 0o200) // before 5.14 there is none
	for range 100 {
		if err := os.Remove(c.dir); !errors.Is(err, syscall.EBUSY) {
			return
		}
		time.Sleep(5 * time.Millisecond) // what was killed takes a moment to be gone
	}
}

// residentMemory reads what the kernel says of a process.
func residentMemory(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(text))
	if len(f) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(f[1], 10, 64)
	return pages * int64(os.Getpagesize())
}
