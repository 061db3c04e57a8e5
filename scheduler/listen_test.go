package scheduler

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/throttlerd/throttlerd/tests/redistest"
)

// mute passes a connection on to a server until the client subscribes: that is lost, and the
// connection stands.
func mute(client net.Conn, socket string) {
	defer client.Close()
	server, err := net.Dial("unix", socket)
	if err != nil {
		return
	}
	defer server.Close()
	go io.Copy(client, server)
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		if !bytes.Contains(bytes.ToLower(buf[:n]), []byte("subscribe")) {
			server.Write(buf[:n])
		}
	}
}

// A subscription that is never answered is given up.
func TestListenIsGivenUp(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go mute(conn, srv.Socket())
		}
	}()
	rdb := redis.NewClient(&redis.Options{Addr: l.Addr().String(), MaxRetries: -1, DisableIdentity: true})
	defer rdb.Close()
	c, err := New(rdb, Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := newWorker(t, c, "w")
	ended := make(chan error, 1)
	go func() { ended <- s.Listen(context.Background(), func(Signal) {}) }()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("it is said to stand")
		}
	case <-time.After(3 * listenTime):
		t.Error("it is waited for without end")
	}
}
