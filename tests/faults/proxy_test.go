//go:build linux

package faults

import (
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// proxy stands between workers and Redis. It can hold bytes up, and lose replies: what a
// client has asked is done, and the connection ends before the answer.
type proxy struct {
	path, to string
	delay    atomic.Int64 // ns that each piece is held up, half of it more or less
	lose     atomic.Int64 // one reply of so many is lost; 0 none
	lost     atomic.Int64

	mu  sync.Mutex
	rnd *rand.Rand
}

// newProxy listens on a unix socket until the test ends.
func newProxy(t *testing.T, to string, rnd *rand.Rand) *proxy {
	t.Helper()
	dir, err := os.MkdirTemp("", "px") // a socket's path has to be short
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{path: filepath.Join(dir, "s"), to: to, rnd: rnd}
	l, err := net.Listen("unix", p.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.Close()
		os.RemoveAll(dir)
	})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(c)
		}
	}()
	return p
}

func (p *proxy) serve(client net.Conn) {
	server, err := net.Dial("unix", p.to)
	if err != nil {
		client.Close()
		return
	}
	end := func() {
		client.Close()
		server.Close()
	}
	go func() {
		defer end()
		p.pass(client, server, false)
	}()
	defer end()
	p.pass(server, client, true)
}

// pass copies pieces as they come; a reply may be lost.
func (p *proxy) pass(from io.Reader, to io.Writer, replies bool) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			d, lost := p.chance(replies)
			if lost {
				p.lost.Add(1)
				return
			}
			time.Sleep(d) // the latency
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *proxy) chance(reply bool) (time.Duration, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.delay.Load()
	if d > 0 {
		d += p.rnd.Int64N(d) - d/2
	}
	lose := p.lose.Load()
	return time.Duration(d), reply && lose > 0 && p.rnd.Int64N(lose) == 0
}
