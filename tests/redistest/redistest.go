// Package redistest runs a real redis-server for a test: its own, in a temporary
// directory, on a unix socket, with TLS too where that is asked for. It knows no other
// server and touches none.
package redistest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Server is one redis-server process. Its methods fail the test on trouble.
type Server struct {
	tb       testing.TB
	dir      string
	socket   string
	port     int
	tlsPort  int
	certs    Certificates
	conf     string // of a sentinel
	password string
	args     []string
	cmd      *exec.Cmd
	exited   chan struct{}
}

// Option changes how a Server is started.
type Option func(*Server)

// WithAOF keeps the data over a kill: an append-only file, synced each second.
func WithAOF() Option {
	return func(s *Server) { s.args = append(s.args, "--appendonly", "yes", "--appendfsync", "everysec") }
}

// WithKeptAOF is WithAOF on a file that is always written before the reply, so that a kill
// loses nothing that Redis has acknowledged. On a disk that it does not have to wait for:
// while a sync of a slow one is under way, Redis replies before it writes, and a kill of a
// bare one lost acknowledged writes in 2 of 40 rounds here. Without such a disk each write
// is synced.
func WithKeptAOF() Option {
	return func(s *Server) {
		WithAOF()(s)
		dir, err := os.MkdirTemp("/dev/shm", "rt")
		if err != nil {
			s.args = append(s.args, "--appendfsync", "always")
			return
		}
		s.tb.Cleanup(func() { os.RemoveAll(dir) })
		s.args = append(s.args, "--dir", dir)
	}
}

// WithArgs adds arguments of redis-server, after the package's own.
func WithArgs(args ...string) Option {
	return func(s *Server) { s.args = append(s.args, args...) }
}

// WithPassword demands a password of the default user (requirepass). Client gives it.
func WithPassword(password string) Option {
	return func(s *Server) {
		s.password = password
		s.args = append(s.args, "--requirepass", password)
	}
}

// WithUser makes a user by the rules of ACL SETUSER. The default user stays as it is.
func WithUser(name string, rules ...string) Option {
	return WithArgs(append([]string{"--user", name}, rules...)...)
}

// WithPort also listens on a free port of 127.0.0.1, for what cannot use a socket.
func WithPort() Option {
	return func(s *Server) { s.port = freePort(s.tb) }
}

// Start runs a server and stops it when the test ends.
func Start(tb testing.TB, opts ...Option) *Server {
	tb.Helper()
	// Not tb.TempDir: its path may be longer than a socket's name can be.
	dir, err := os.MkdirTemp("", "rt")
	if err != nil {
		tb.Fatal(err)
	}
	s := &Server{tb: tb, dir: dir, socket: filepath.Join(dir, "s")}
	for _, o := range opts {
		o(s)
	}
	s.Restart()
	tb.Cleanup(func() {
		s.Kill()
		os.RemoveAll(dir)
	})
	return s
}

// Find returns the program that serves Redis and the name to call it by. Debian's
// redis-tools brings the server as redis-check-rdb, which serves under its own name.
func Find() (path, argv0 string, err error) {
	if p := os.Getenv("REDIS_SERVER"); p != "" {
		return p, "redis-server", nil
	}
	for _, name := range []string{"redis-server", "redis-check-rdb", "valkey-server"} {
		if p, err := exec.LookPath(name); err == nil {
			return p, "redis-server", nil
		}
	}
	return "", "", errors.New("no redis-server on PATH: run `make programs`, or install your system's redis-server package")
}

// Restart starts the server, again after a Kill, and waits until it answers.
func (s *Server) Restart() {
	s.tb.Helper()
	s.Launch()
	s.waitReady()
}

// Launch starts the server, again after a Kill, and does not wait until it answers.
func (s *Server) Launch() {
	s.tb.Helper()
	path, argv0, err := Find()
	if err != nil {
		s.tb.Fatal(err)
	}
	args := append([]string{argv0, "--port", fmt.Sprint(s.port), "--bind", "127.0.0.1",
		"--unixsocket", s.socket, "--dir", s.dir, "--save", "", "--daemonize", "no",
		"--logfile", filepath.Join(s.dir, "log")}, s.args...)
	if s.conf != "" {
		args = []string{argv0, s.conf, "--sentinel"}
	}
	s.cmd = &exec.Cmd{Path: path, Args: args, SysProcAttr: &syscall.SysProcAttr{Setpgid: true}}
	if err := s.cmd.Start(); err != nil {
		s.tb.Fatal(err)
	}
	exited := make(chan struct{})
	s.exited = exited
	go func(cmd *exec.Cmd) {
		_ = cmd.Wait()
		close(exited)
	}(s.cmd)
}

func (s *Server) waitReady() {
	s.tb.Helper()
	rdb := s.Client()
	defer rdb.Close()
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := rdb.Ping(context.Background()).Err()
		if err == nil {
			return
		}
		select {
		case <-s.exited:
			log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			s.tb.Fatalf("redis-server ended at once:\n%s", log)
		default:
		}
		if time.Now().After(deadline) {
			s.tb.Fatalf("redis-server does not answer: %v", err)
		}
		time.Sleep(2 * time.Millisecond) // between two polls of another process
	}
}

// Kill ends the server as kill -9 does, and waits until it is gone.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGCONT)
	_ = s.cmd.Process.Kill()
	<-s.exited
	s.cmd = nil
}

// Stop halts the server as it stands (SIGSTOP) until Continue.
func (s *Server) Stop() { s.signal(syscall.SIGSTOP) }

// Continue lets a stopped server go on.
func (s *Server) Continue() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.tb.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.tb.Fatal(err)
	}
}

// PID is the server's process.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// URL is what a client dials: the unix socket.
func (s *Server) URL() string { return "unix://" + s.socket + "?db=0" }

// Socket is the path of the unix socket.
func (s *Server) Socket() string { return s.socket }

// TCP is the URL of the port that WithPort opened.
func (s *Server) TCP() string { return fmt.Sprintf("redis://127.0.0.1:%d/0", s.port) }

// Addr is host and port, of what listens on one.
func (s *Server) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// Client returns a new client; the caller closes it, or leaves it to the test's end.
func (s *Server) Client() *redis.Client {
	return redis.NewClient(&redis.Options{
		Network: "unix", Addr: s.socket, Password: s.password, MaxRetries: -1, DisableIdentity: true,
		DialTimeout: time.Second, ContextTimeoutEnabled: true,
	})
}

func freePort(tb testing.TB) int {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
