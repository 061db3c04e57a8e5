package ratelimit_test

import (
	"bytes"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	. "github.com/throttlerd/throttlerd/ratelimit"
)

// A reply is lost after the script ran, on a client that retries by default: the tokens
// are taken once, and the caller is told that it is not known.
func TestTakeIsNotRepeated(t *testing.T) {
	m := miniredis.RunT(t)
	direct := redis.NewClient(&redis.Options{Addr: m.Addr()})
	defer direct.Close()
	l := backend{direct}.limiter(t, "once")
	must(t, l.Set(t.Context(), "api", Rate{1, time.Hour, 10}))
	mustTake(t, l, "api", 1) // the script is known from here on

	p := newProxy(t, m.Addr())
	lossy := redis.NewClient(&redis.Options{Addr: p.addr, MaxRetries: 3})
	defer lossy.Close()
	ll := backend{lossy}.limiter(t, "once")
	mustTake(t, ll, "api", 1)
	p.cut.Store(true)
	if d, err := ll.Take(t.Context(), "api", 1); err == nil {
		t.Fatalf("the reply was not lost: %+v", d)
	}
	s, err := l.Peek(t.Context(), "api")
	must(t, err)
	if s.Left != 7 {
		t.Errorf("%d left of 10 after three takes, one with its reply lost; want 7", s.Left)
	}
}

// proxy passes everything on, and with cut closes a connection instead of passing the
// reply to an EVALSHA.
type proxy struct {
	addr string
	cut  atomic.Bool
}

func newProxy(t *testing.T, backend string) *proxy {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { ln.Close() })
	p := &proxy{addr: ln.Addr().String()}
	go func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", backend)
			if err != nil {
				client.Close()
				return
			}
			var script atomic.Bool
			go pass(client, server, func(b []byte) bool {
				script.Store(bytes.Contains(b, []byte("evalsha")))
				return true
			})
			go pass(server, client, func([]byte) bool { return !(p.cut.Load() && script.Load()) })
		}
	}()
	return p
}

// pass copies from one end to the other while may says so, then closes both.
func pass(from io.ReadCloser, to io.WriteCloser, may func([]byte) bool) {
	defer from.Close()
	defer to.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil || !may(buf[:n]) {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}
