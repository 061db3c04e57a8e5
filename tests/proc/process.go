//go:build linux

package proc

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Process is one running program of ours. It is killed when the test ends, and by the
// kernel when the test's own process dies.
type Process struct {
	PID    int
	tb     testing.TB
	cmd    *exec.Cmd
	out    Output
	exited chan struct{}
}

// Output collects what a process prints, and can be read while it does.
type Output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// Worker starts `throttlerd run` with a config file and waits until it serves.
func Worker(tb testing.TB, config string, args ...string) *Process {
	tb.Helper()
	p := Start(tb, append([]string{"run", "-c", config}, args...)...)
	p.WaitServing()
	return p
}

// Start starts throttlerd. What it printed is shown when the test fails.
func Start(tb testing.TB, args ...string) *Process {
	tb.Helper()
	return StartProgram(tb, nil, Build(tb).Throttlerd, args...)
}

// StartProgram is Start for any program, with something added to its environment.
func StartProgram(tb testing.TB, env []string, program string, args ...string) *Process {
	tb.Helper()
	p := &Process{tb: tb, exited: make(chan struct{})}
	p.cmd = exec.Command(program, args...)
	p.cmd.Env = append(Environment(), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := Launch(p.cmd); err != nil {
		tb.Fatal(err)
	}
	p.PID = p.cmd.Process.Pid
	go func() {
		_ = p.cmd.Wait()
		close(p.exited)
	}()
	tb.Cleanup(func() {
		p.Kill()
		if tb.Failed() {
			tb.Logf("%s %s (pid %d) printed:\n%s", filepath.Base(program), strings.Join(args, " "), p.PID, tail(p.out.String(), 6000))
		}
	})
	return p
}

// Launch starts a command in a process group of its own, which the kernel kills when the
// test's process dies. It does so from a thread that lives as long as that, since
// Pdeathsig is about the thread that started a process.
func Launch(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	launching.Do(func() {
		go func() {
			runtime.LockOSThread()
			for f := range launches {
				f()
			}
		}()
	})
	done := make(chan error)
	launches <- func() { done <- cmd.Start() }
	return <-done
}

var (
	launching sync.Once
	launches  = make(chan func())
)

// Environment is the test's own without settings of the product.
func Environment() []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "THROTTLE_") && !strings.HasPrefix(e, "REDIS_") {
			env = append(env, e)
		}
	}
	return env
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}

// WaitServing waits until a worker takes tasks.
func (p *Process) WaitServing() {
	p.tb.Helper()
	p.WaitLog("worker serves", 30*time.Second)
}

// WaitLog waits until the process has printed a text.
func (p *Process) WaitLog(text string, limit time.Duration) {
	p.tb.Helper()
	Eventually(p.tb, limit, "the process prints "+text, func() bool {
		if strings.Contains(p.Log(), text) {
			return true
		}
		if p.Exited() {
			p.tb.Fatalf("throttlerd ended with code %d before it printed %q:\n%s", p.cmd.ProcessState.ExitCode(), text, p.Log())
		}
		return false
	})
}

// Log is what the process has printed so far.
func (p *Process) Log() string { return p.out.String() }

// ID is the name under which a serving worker registered last.
func (p *Process) ID() string {
	p.tb.Helper()
	log := p.Log()
	at := strings.LastIndex(log, "worker serves: worker=")
	if at < 0 {
		p.tb.Fatalf("the worker does not serve:\n%s", log)
	}
	id, _, _ := strings.Cut(log[at+len("worker serves: worker="):], "\n")
	return strings.TrimSpace(id)
}

// Signal sends one signal to the process alone.
func (p *Process) Signal(sig syscall.Signal) {
	p.tb.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.tb.Errorf("signal %v to pid %d: %v", sig, p.PID, err)
	}
}

// Kill ends the process as kill -9 does, and waits until it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// Exited tells whether the process has ended.
func (p *Process) Exited() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// Wait returns the exit code once the process has ended.
func (p *Process) Wait(limit time.Duration) int {
	p.tb.Helper()
	select {
	case <-p.exited:
	case <-time.After(limit):
		p.tb.Fatalf("throttlerd (pid %d) does not end within %v:\n%s", p.PID, limit, tail(p.Log(), 6000))
	}
	return p.cmd.ProcessState.ExitCode()
}

// Result is what a command that ran to its end has left.
type Result struct {
	Stdout, Stderr string
	Code           int
	Took           time.Duration
}

// Run runs throttlerd to its end.
func Run(tb testing.TB, args ...string) Result {
	tb.Helper()
	return run(tb, Build(tb).Throttlerd, args)
}

// Ctl runs throttlectl to its end.
func Ctl(tb testing.TB, args ...string) Result {
	tb.Helper()
	program, err := ctl()
	if err != nil {
		tb.Fatal(err)
	}
	return run(tb, program, args)
}

func run(tb testing.TB, program string, args []string) Result {
	tb.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = Environment()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = time.Second
	began := time.Now()
	if err := Launch(cmd); err != nil {
		tb.Fatal(err)
	}
	stop := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer stop.Stop()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, io.EOF) {
		tb.Fatal(err)
	}
	return Result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode(), time.Since(began)}
}

// Eventually waits until cond holds, and fails the test when it does not in time.
func Eventually(tb testing.TB, limit time.Duration, what string, cond func() bool) {
	tb.Helper()
	deadline := time.Now().Add(limit)
	for !cond() {
		if time.Now().After(deadline) {
			tb.Fatalf("not within %v: %s", limit, what)
		}
		time.Sleep(3 * time.Millisecond) // between two looks at another process
	}
}
