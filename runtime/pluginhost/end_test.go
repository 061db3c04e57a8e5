package pluginhost_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/runtime/pluginhost"
)

func TestCrashIsSeenAtOnce(t *testing.T) {
	h := start(t, part(t, "scripted"))
	h.send("await")
	h.do2("hello") // it has begun
	begin := time.Now()
	syscall.Kill(h.PID(), syscall.SIGKILL)
	h.await(h.Done(), "the crash")
	if took := time.Since(begin); took > 500*time.Millisecond {
		t.Errorf("seen after %s", took)
	}
	var exit *pluginhost.ExitError
	if !errors.As(h.Err(), &exit) || exit.Code != -1 || !strings.Contains(exit.Error(), "signal: killed") {
		t.Errorf("%v", h.Err())
	}
	if len(h.results) > 0 {
		t.Error("a result for a run that never ended")
	}
	h.Send([]pluginhost.Sending{{Task: &pluginapi.Task{Fence: 99}}}) // goes nowhere
	h.Cancel(99, pluginapi.ErrDraining)
	h.Stop(t.Context())
}

// do2 runs one task beside others that are running.
func (h *harness) do2(payload string) {
	h.t.Helper()
	if fence, r := h.send(payload), h.result(); r.Run != fence {
		h.t.Fatalf("result of run %d, want %d", r.Run, fence)
	}
}

func TestExitCodeAndLastWords(t *testing.T) {
	h := start(t, echoSpec(t))
	h.send(`{"exit": 3}`)
	h.await(h.Done(), "the exit")
	var exit *pluginhost.ExitError
	if !errors.As(h.Err(), &exit) || exit.Code != 3 || !strings.Contains(exit.Error(), "exited with code 3") {
		t.Errorf("%v", h.Err())
	}
}

func TestResultsBeforeTheCrashCount(t *testing.T) {
	h := start(t, echoSpec(t))
	h.do("one")
	h.send("two")
	h.send(`{"exit": 0, "sleep": "50ms"}`)
	h.await(h.Done(), "the exit")
	if r := <-h.results; string(r.Result) != "two" {
		t.Errorf("%+v", r)
	}
	if h.Err() == nil {
		t.Error("an exit that nobody asked for is an error, whatever its code")
	}
}

func TestStoppedProcessCanBeKilled(t *testing.T) {
	h := start(t, part(t, "scripted"))
	syscall.Kill(h.PID(), syscall.SIGSTOP)
	begin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	h.Stop(ctx)
	if took := time.Since(begin); took > time.Second {
		t.Errorf("stop took %s", took)
	}
	if alive(h.PID()) {
		t.Error("still there")
	}
}

func TestStopLetsTasksFinish(t *testing.T) {
	h := start(t, echoSpec(t))
	h.do("first")
	fence := h.send(`{"sleep": "300ms"}`)
	h.Stop(t.Context())
	if h.Err() != nil {
		t.Errorf("a stop that was obeyed: %v", h.Err())
	}
	select {
	case r := <-h.results:
		if r.Run != fence || r.Outcome != pluginapi.Done {
			t.Errorf("%+v", r)
		}
	default:
		t.Error("the running task was not finished")
	}
	h.Stop(t.Context()) // again: at once
}

func TestStopHearsCancellations(t *testing.T) {
	h := start(t, part(t, "scripted"))
	fence := h.send("await")
	h.do2("hello")
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		h.Stop(context.Background())
	}()
	h.Cancel(fence, pluginapi.ErrDraining)
	h.await(stopped, "the stop")
	if r := <-h.results; r.Err != pluginapi.ErrDraining.Error() {
		t.Errorf("%+v", r)
	}
}

func TestStopKillsWhatIgnoresIt(t *testing.T) {
	h := start(t, part(t, "scripted"))
	h.Cancel(h.send("ignore"), pluginapi.ErrDraining)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	h.Stop(ctx)
	if h.Err() == nil || alive(h.PID()) {
		t.Errorf("alive %v, %v", alive(h.PID()), h.Err())
	}
}

func TestSignalsOfATerminalAreIgnored(t *testing.T) {
	h := start(t, echoSpec(t))
	syscall.Kill(h.PID(), syscall.SIGTERM)
	syscall.Kill(h.PID(), syscall.SIGINT)
	if r := h.do("still there"); r.Outcome != pluginapi.Done {
		t.Errorf("%+v", r)
	}
}

func TestGrandchildrenHoldNothingUp(t *testing.T) {
	for _, kind := range []string{"grandchild", "escaped grandchild"} {
		t.Run(kind, func(t *testing.T) {
			h := start(t, part(t, "scripted"))
			child, err := strconv.Atoi(string(h.do(kind).Result))
			if err != nil {
				t.Fatal(err)
			}
			defer syscall.Kill(child, syscall.SIGKILL)
			begin := time.Now()
			syscall.Kill(h.PID(), syscall.SIGKILL)
			h.await(h.Done(), "the end of the process")
			if took := time.Since(begin); took > 900*time.Millisecond {
				t.Errorf("took %s", took)
			}
			if err := h.Err(); err == nil || !strings.Contains(err.Error(), "was killed by signal: killed") {
				t.Errorf("it died of %v", err)
			}
			if kind == "grandchild" {
				eventually(t, time.Second, "the end of the grandchild", func() bool { return !alive(child) })
			}
		})
	}
}

// Also one that is stopped, and so cannot see for itself that its host has gone; and one
// of another user, where that can be had.
func TestNoPluginOutlivesItsHost(t *testing.T) {
	users := map[string]string{"": "", "pinned": ""}
	if os.Geteuid() == 0 {
		users["of another user"] = "nobody"
	}
	for name, user := range users {
		for _, stopped := range []bool{false, true} {
			digest := ""
			if name != "" {
				digest = digestOf(t, echoPath)
			}
			pid, host := playedHost(t, user, digest)
			if stopped {
				syscall.Kill(pid, syscall.SIGSTOP)
			}
			host.Process.Kill()
			host.Wait()
			eventually(t, time.Second, "the end of the plugin "+name, func() bool { return !alive(pid) })
		}
	}
}

// playedHost starts a host and returns the process of its plugin.
func playedHost(t *testing.T, user, digest string) (pid int, host *exec.Cmd) {
	t.Helper()
	dir, err := os.MkdirTemp("", "ph")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) }) // the host, killed, cannot
	host = exec.Command(part(t, "host").Path, echoPath, dir, user, digest)
	host.Env = append(os.Environ(), modeEnv+"=host")
	out, err := host.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	pid, err = strconv.Atoi(strings.TrimSpace(line))
	if err != nil || !alive(pid) {
		t.Fatalf("no plugin: %q", line)
	}
	return pid, host
}

func TestRestartsLeaveNothing(t *testing.T) {
	noLeaks(t)
	spec := echoSpec(t) // its run directory is checked at the end
	cycle := func(i int) int {
		p, err := pluginhost.Start(t.Context(), spec, pluginhost.Sink{})
		if err != nil {
			t.Fatal(err)
		}
		switch i % 3 {
		case 0:
			p.Stop(t.Context())
		case 1:
			p.Kill()
		case 2:
			syscall.Kill(p.PID(), syscall.SIGKILL)
		}
		await(t, p.Done(), "the end of the process")
		return p.PID()
	}
	cycle(0) // opens what stays open: the launcher's thread, random numbers
	before := openFiles(t)
	for i := range 200 {
		if pid := cycle(i); alive(pid) || syscall.Kill(pid, 0) == nil {
			t.Fatalf("process %d is left, perhaps as a zombie", pid)
		}
	}
	if after := openFiles(t); after > before {
		t.Errorf("%d open files, %d before", after, before)
	}
}

func openFiles(t *testing.T) int {
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// However few descriptors are left, a start ends, and gives back what it took.
func TestStartWithoutDescriptors(t *testing.T) {
	noLeaks(t)
	spec := echoSpec(t)
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	var taken []*os.File
	defer func() {
		syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before)
		for _, f := range taken {
			f.Close()
		}
	}()
	few := before
	few.Cur = 200
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	failed := 0
	for left := range 24 {
		for f, err := os.Open(os.DevNull); err == nil; f, err = os.Open(os.DevNull) {
			taken = append(taken, f)
		}
		for _, f := range taken[len(taken)-left:] {
			f.Close()
		}
		taken = taken[:len(taken)-left]
		ended := make(chan error, 1)
		go func() {
			p, err := pluginhost.Start(t.Context(), spec, pluginhost.Sink{})
			if err == nil {
				p.Kill()
				<-p.Done()
			}
			ended <- err
		}()
		select {
		case err := <-ended:
			if err != nil {
				failed++
			}
		case <-time.After(patience):
			t.Fatalf("with %d descriptors left the start does not end", left)
		}
	}
	t.Logf("%d of 24 starts failed", failed)
	if failed == 0 || failed == 24 {
		t.Errorf("%d of 24 starts failed: the test takes the wrong number of descriptors", failed)
	}
}
