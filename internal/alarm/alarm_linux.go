package alarm

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// fileTimer is a timer of the kernel. Go's poller waits for it as for a connection, so it
// takes neither a thread nor, while it waits, one of the GOMAXPROCS.
type fileTimer struct{ file *os.File }

// New makes an alarm. Where there are no file descriptors left, it is one of Go's timers.
func New() Alarm {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return newTimer()
	}
	return &fileTimer{os.NewFile(uintptr(fd), "timer")}
}

func (a *fileTimer) Set(t time.Time) {
	var spec unix.ItimerSpec // zero: not at all
	if !t.IsZero() {
		spec.Value = unix.NsecToTimespec(max(1, time.Until(t).Nanoseconds()))
	}
	conn, err := a.file.SyscallConn()
	if err != nil {
		return // closed
	}
	_ = conn.Control(func(fd uintptr) { _ = unix.TimerfdSettime(int(fd), 0, &spec, nil) })
}

func (a *fileTimer) Wait() bool {
	var count [8]byte
	_, err := a.file.Read(count[:])
	return err == nil
}

func (a *fileTimer) Close() { _ = a.file.Close() }
