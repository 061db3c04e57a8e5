package pluginhost

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-plugin/runner"

	"github.com/throttlerd/throttlerd/pluginapi/handlerpb"
)

// lastOutput is how long the output of a dead plugin is read on, should a
// process that escaped its group hold the pipes open.
const lastOutput = 200 * time.Millisecond

// processRunner is one plugin process, in the form in which go-plugin drives
// it. It owns the process group, the pipes and the lifeline.
type processRunner struct {
	cmd     *exec.Cmd
	program *os.File // what is executed, where cmd.Path names a descriptor
	stdout  *handshakeReader
	stderr  *stderrLog

	lifeline *os.File // held open; its end tells the plugin that the host is gone
	outputs  [2]*os.File
	reading  sync.WaitGroup

	mu     sync.Mutex // guards the process id against reuse
	id     int        // 0: not started
	killed bool       // before it was started
	reaped bool
	over   chan struct{} // closed when it has ended
	silent chan struct{} // closed when it has ended and its stderr has been read
}

var _ runner.Runner = (*processRunner)(nil)

// child is what a Process holds of its process: a processRunner, or an attachment.
type child interface {
	kill()
	pid() int
	ended() <-chan struct{}
	exited() <-chan struct{} // after ended: nothing of it will be heard any more
	// outcome says how it ended, once it has exited: the exit code, -1 after a signal, and
	// a phrase.
	outcome() (int, string)
}

// newRunner prepares cmd, which says what is executed and as whom.
func newRunner(cmd *exec.Cmd, stderr *stderrLog) *processRunner {
	return &processRunner{cmd: cmd, stderr: stderr, over: make(chan struct{}), silent: make(chan struct{})}
}

// Start starts the process. On an error nothing is left behind, and nobody waits for it.
func (r *processRunner) Start(context.Context) error {
	err := r.start()
	if err != nil {
		close(r.silent)
	}
	return err
}

func (r *processRunner) start() error {
	var pipes [3][2]*os.File
	for i := range pipes {
		read, write, err := os.Pipe()
		if err != nil {
			closeAll(pipes[:i])
			return err
		}
		pipes[i] = [2]*os.File{read, write}
	}
	stdout, stderr, lifeline := pipes[0], pipes[1], pipes[2]

	r.cmd.Stdin = nil
	r.cmd.Stdout, r.cmd.Stderr = stdout[1], stderr[1]
	r.cmd.ExtraFiles = []*os.File{lifeline[0]}
	if r.program != nil {
		r.cmd.ExtraFiles = append(r.cmd.ExtraFiles, r.program)
	}
	r.cmd.Env = append(r.cmd.Env, handlerpb.EnvLifeline+"=3")
	if err := startOnLauncher(r.cmd); err != nil {
		closeAll(pipes[:])
		return err
	}
	stdout[1].Close()
	stderr[1].Close()
	lifeline[0].Close()

	r.lifeline = lifeline[1]
	r.outputs = [2]*os.File{stdout[0], stderr[0]}
	r.stdout = &handshakeReader{in: stdout[0]}
	r.mu.Lock()
	r.id = r.cmd.Process.Pid
	if r.killed {
		r.killGroup()
	}
	r.mu.Unlock()
	r.reading.Go(func() { r.stderr.copy(stderr[0]) })
	go r.reap()
	return nil
}

func closeAll(pipes [][2]*os.File) {
	for _, p := range pipes {
		p[0].Close()
		p[1].Close()
	}
}

// reap waits for the process to end, kills what is left of its group, and sees
// to it that the readers of its output end too.
func (r *processRunner) reap() {
	awaitExit(r.cmd)
	r.mu.Lock()
	r.killGroup()
	r.cmd.Wait() // its error is told by ProcessState
	r.reaped = true
	r.mu.Unlock()
	close(r.over)

	for _, f := range r.outputs {
		f.SetReadDeadline(time.Now().Add(lastOutput))
	}
	r.lifeline.Close()
	r.reading.Wait()
	r.outputs[1].Close()
	close(r.silent)
}

// Kill is kill, for go-plugin.
func (r *processRunner) Kill(context.Context) error {
	r.kill()
	return nil
}

// kill kills the whole process group, unless the process has ended.
func (r *processRunner) kill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.id == 0:
		r.killed = true
	case !r.reaped:
		r.killGroup()
	}
}

func (r *processRunner) ended() <-chan struct{}  { return r.over }
func (r *processRunner) exited() <-chan struct{} { return r.silent }

func (r *processRunner) killGroup() { syscall.Kill(-r.id, syscall.SIGKILL) }

// Wait returns when the process has ended and its stderr has been read.
func (r *processRunner) Wait(context.Context) error {
	<-r.silent
	return nil
}

func (r *processRunner) outcome() (int, string) {
	state := r.cmd.ProcessState
	if state == nil {
		return -1, "never ran"
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return -1, "was killed by signal: " + status.Signal().String()
	}
	return state.ExitCode(), fmt.Sprintf("exited with code %d", state.ExitCode())
}

// pid returns the process id, 0 if the process was never started.
func (r *processRunner) pid() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.id
}

func (r *processRunner) ID() string {
	if pid := r.pid(); pid != 0 {
		return strconv.Itoa(pid)
	}
	return ""
}

func (r *processRunner) Name() string                    { return r.cmd.Path }
func (r *processRunner) Stdout() io.ReadCloser           { return r.stdout }
func (r *processRunner) Diagnose(context.Context) string { return "" }

// Stderr is empty for go-plugin: the lines are read here, also those of a
// plugin that never comes up.
func (r *processRunner) Stderr() io.ReadCloser { return io.NopCloser(strings.NewReader("")) }

func (r *processRunner) PluginToHost(network, addr string) (string, string, error) {
	return network, addr, nil
}

func (r *processRunner) HostToPlugin(network, addr string) (string, string, error) {
	return network, addr, nil
}
