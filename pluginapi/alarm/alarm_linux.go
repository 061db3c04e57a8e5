package alarm

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// fileTimer is a timer of the kernel. Go's poller waits for it as for a connection, so it
// takes neither a thread nor, while it waits, one of the GOMAXPROCS.
type fileTimer struct {
	file *os.File
	conn syscall.RawConn
}

// newAlarm makes a timer of the kernel, or one of Go's where there is none to have or the
// poller does not take it.
func newAlarm() alarm {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return newTimer()
	}
	file := os.NewFile(uintptr(fd), "timer")
	conn, err := file.SyscallConn()
	if err != nil || file.SetReadDeadline(time.Time{}) != nil { // which only what is polled has
		file.Close()
		return newTimer()
	}
	return &fileTimer{file, conn}
}

func (a *fileTimer) set(t time.Time) {
	var spec unix.ItimerSpec
	spec.Value = unix.NsecToTimespec(max(1, time.Until(t).Nanoseconds())) // 0 would be never
	_ = a.conn.Control(func(fd uintptr) { _ = unix.TimerfdSettime(int(fd), 0, &spec, nil) })
}

func (a *fileTimer) wait() bool {
	var count [8]byte
	_, err := a.file.Read(count[:])
	return err == nil
}

func (a *fileTimer) close() { _ = a.file.Close() }
