package runtime

import (
	"encoding/binary"
	"fmt"
	goruntime "runtime"
	"time"

	"golang.org/x/sys/unix"
)

// pollAlarm sleeps in ppoll, whose timeout is exact to the kernel's high-resolution
// timers, and is rung through an eventfd.
type pollAlarm struct{ fd int }

func newAlarm() (alarm, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("start timer: %w", err)
	}
	return &pollAlarm{fd}, nil
}

func (a *pollAlarm) wait(until time.Time) {
	var timeout *unix.Timespec
	if !until.IsZero() {
		d := time.Until(until)
		if d <= 0 {
			return
		}
		ts := unix.NsecToTimespec(d.Nanoseconds())
		timeout = &ts
	}
	fds := []unix.PollFd{{Fd: int32(a.fd), Events: unix.POLLIN}}
	if n, _ := unix.Ppoll(fds, timeout, nil); n > 0 {
		var buf [8]byte
		_, _ = unix.Read(a.fd, buf[:]) // empties it; nothing to do if another ring came
	}
}

func (a *pollAlarm) ring() {
	_, _ = unix.Write(a.fd, binary.NativeEndian.AppendUint64(nil, 1)) // full means rung
}

func (a *pollAlarm) close() { unix.Close(a.fd) }

// lockThread keeps the goroutine on one thread, and lets that thread's sleeps end on
// time instead of up to 50 µs later.
func lockThread() {
	goruntime.LockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
}

// unlockThread gives the thread back with the usual slack.
func unlockThread() {
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0)
	goruntime.UnlockOSThread()
}
