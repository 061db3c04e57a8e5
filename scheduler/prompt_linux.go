package scheduler

import (
	"context"
	"net"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

// A Redis on the same machine answers in 20 to 50 µs. A goroutine that sleeps for so long
// costs its program as much CPU as one that looks again and again, for the runtime looks for
// other work meanwhile; and where its core falls asleep too, waking it takes longer than the
// answer did. So who alone waits for an answer looks for it for a moment.
const (
	patience    = 100 * time.Microsecond
	maxResigned = 64 // answers in a row that are not looked for
)

type dialer = func(ctx context.Context, network, addr string) (net.Conn, error)

// promptly has the connections of a dialer look for answers.
func promptly(dial dialer) dialer {
	var waiting atomic.Int32
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		s, ok := c.(syscall.Conn)
		if !ok || runtime.GOMAXPROCS(0) == 1 { // with one core Redis would have to wait for who looks
			return c, nil
		}
		raw, err := s.SyscallConn()
		if err != nil {
			return c, nil
		}
		return &promptConn{Conn: c, raw: raw, waiting: &waiting, patience: patience}, nil
	}
}

// promptConn is a connection on which questions are answered in turn. As of any net.Conn,
// Read and Write may be called at once; each by one goroutine at a time.
type promptConn struct {
	net.Conn
	raw     syscall.RawConn
	waiting *atomic.Int32 // answers that the connections of its dialer wait for
	asked   atomic.Bool   // something was written since the last read

	patience time.Duration // how long one looks

	// Of the reader: each answer that was too late doubles how many are not looked for, so
	// that a Redis which is far or busy costs 2 µs an answer.
	resigned, skip int
}

func (c *promptConn) SyscallConn() (syscall.RawConn, error) { return c.raw, nil }

func (c *promptConn) Write(p []byte) (int, error) {
	c.asked.Store(true)
	return c.Conn.Write(p)
}

func (c *promptConn) Read(p []byte) (int, error) {
	if !c.asked.Swap(false) {
		n, err := c.Conn.Read(p) // a message that nobody asked for may take hours
		c.asked.Store(false)     // nor was the next one, if this is the answer to a ping meanwhile
		return n, err
	}
	defer c.waiting.Add(-1)
	if c.waiting.Add(1) > 1 {
		return c.Conn.Read(p)
	}
	if c.skip > 0 {
		c.skip--
		return c.Conn.Read(p)
	}
	n, inTime := c.look(p)
	if inTime {
		c.resigned = 0
		return n, nil
	}
	c.resigned = min(max(1, 2*c.resigned), maxResigned)
	c.skip = c.resigned
	if n > 0 {
		return n, nil
	}
	return c.Conn.Read(p) // keeps the deadline, and says when the other end has gone
}

// look reads what comes within a moment: 0 bytes when nothing does, or something is wrong. It
// may come later, where others have this core meanwhile.
func (c *promptConn) look(p []byte) (n int, inTime bool) {
	until := time.Now().Add(c.patience)
	_ = c.raw.Read(func(fd uintptr) bool {
		for {
			// Redis may wait for this very core: the kernel wakes it where the question was sent
			_, _, _ = syscall.Syscall(syscall.SYS_SCHED_YIELD, 0, 0, 0)
			var err error
			n, err = syscall.Read(int(fd), p)
			inTime = time.Now().Before(until)
			if err == nil {
				return true
			}
			n = 0
			if err != syscall.EAGAIN && err != syscall.EINTR || !inTime {
				return true
			}
		}
	})
	return n, n > 0 && inTime
}
