package scheduler

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// promptPair is a connection that looks for answers, and its other end.
func promptPair(t *testing.T) (*promptConn, net.Conn) {
	t.Helper()
	if runtime.GOMAXPROCS(0) == 1 { // else nobody looks
		runtime.GOMAXPROCS(2)
		t.Cleanup(func() { runtime.GOMAXPROCS(1) })
	}
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := promptly((&net.Dialer{}).DialContext)(context.Background(), "unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	end, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end.Close() })
	return c.(*promptConn), end
}

func (c *promptConn) ask(t *testing.T) {
	t.Helper()
	if _, err := c.Write([]byte("?")); err != nil {
		t.Fatal(err)
	}
}

func (c *promptConn) answer(t *testing.T, want string) {
	t.Helper()
	p := make([]byte, 10)
	if n, err := c.Read(p); err != nil || string(p[:n]) != want {
		t.Fatalf("%q, %v, want %q", p[:n], err, want)
	}
}

func say(t *testing.T, end net.Conn, text string) {
	t.Helper()
	if _, err := end.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

// An answer comes whether it is there, soon or late; after late ones fewer are looked for,
// and one that is found in time has the next looked for.
func TestAnswersAreLookedFor(t *testing.T) {
	c, end := promptPair(t)
	c.patience = time.Minute
	c.ask(t)
	say(t, end, "there")
	c.answer(t, "there")
	if c.resigned != 0 || c.skip != 0 {
		t.Errorf("resigned: %d, %d", c.resigned, c.skip)
	}
	const late = 200
	looked := 0
	c.patience = patience
	for range late {
		c.ask(t)
		before := c.skip
		time.AfterFunc(20*patience, func() { _, _ = end.Write([]byte("late")) })
		c.answer(t, "late")
		if before == 0 {
			looked++
		}
	}
	if looked > late/4 { // 9 where no core stands still: after 1, 2, 4 ... 64, 64
		t.Errorf("%d of %d late answers were looked for", looked, late)
	}
	c.patience = time.Minute
	for c.skip > 0 {
		c.ask(t)
		say(t, end, "there")
		c.answer(t, "there")
	}
	c.ask(t)
	say(t, end, "there")
	c.answer(t, "there")
	if c.resigned != 0 {
		t.Errorf("resigned after an answer in time: %d", c.resigned)
	}
}

// What nobody asked for is waited for asleep, and so is an answer beside another.
func TestOnlyOneLooks(t *testing.T) {
	c, end := promptPair(t)
	time.AfterFunc(10*time.Millisecond, func() { _, _ = end.Write([]byte("news")) })
	c.answer(t, "news")
	time.AfterFunc(10*time.Millisecond, func() { // a ping while one waits for news, and its answer
		_, _ = c.Write([]byte("?"))
		_, _ = end.Write([]byte("pong"))
	})
	c.answer(t, "pong")
	time.AfterFunc(10*time.Millisecond, func() {
		if n := c.waiting.Load(); n != 0 {
			t.Errorf("%d wait for an answer, want none: news are waited for", n)
		}
		_, _ = end.Write([]byte("news"))
	})
	c.answer(t, "news")
	var other atomic.Int32
	other.Store(1)
	c.waiting = &other
	c.ask(t)
	time.AfterFunc(10*time.Millisecond, func() { _, _ = end.Write([]byte("late")) })
	c.answer(t, "late")
	if c.resigned != 0 {
		t.Error("somebody looked")
	}
	if n := other.Load(); n != 1 {
		t.Errorf("%d wait after the answer, want the other one", n)
	}
}

// What goes wrong while one looks is said as of any connection.
func TestLookingFails(t *testing.T) {
	p := make([]byte, 10)
	c, end := promptPair(t)
	if err := c.SetReadDeadline(time.Now().Add(5 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	c.ask(t)
	if _, err := c.Read(p); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("no answer until the deadline: %v", err)
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	c.skip = 0
	c.ask(t)
	if err := end.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(p); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the other end closed: %v", err)
	}
	c, end = promptPair(t)
	if err := end.(*net.UnixConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	c.ask(t)
	if _, err := c.Read(p); err != io.EOF {
		t.Errorf("nothing more comes: %v", err)
	}
	c, _ = promptPair(t)
	c.ask(t)
	time.AfterFunc(5*time.Millisecond, func() { c.Close() })
	if _, err := c.Read(p); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed while it waited: %v", err)
	}
}
