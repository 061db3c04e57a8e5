package pluginhost

import (
	"context"
	"os"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"

	"github.com/throttlerd/throttlerd/pluginapi"
)

// leaveTime is how long a plugin that has ended its stream, or lost it, may
// take to leave before it is killed.
const leaveTime = 2 * time.Second

// Process is one running plugin process. It is made by Start and ends once: by
// Stop, by Kill, or by itself. All methods may be called at any time from any
// goroutine.
type Process struct {
	spec       Spec
	binary     os.FileInfo // the file as it was at the start
	program    program
	credential *syscall.Credential // nil: the host's
	cage       *cage               // nil: none
	to         Sink
	stderr     *stderrLog

	client    interface{ Kill() } // asks the plugin to leave, and waits until it has
	conn      *grpc.ClientConn
	socketDir string
	info      pluginapi.Info
	startsAt  bool // it obeys the start instant of a task
	out       *outbox
	in        inStream

	mu     sync.Mutex
	runner *processRunner // nil if attached
	child  child          // nil until there is one
	killed bool
	reason error // the first thing seen to go wrong with the stream

	closing  chan struct{} // the process is to leave, or has left
	watchers sync.WaitGroup
	read     chan struct{} // the last result has been handed over
	done     chan struct{}
	err      error // set before done is closed
}

// Info is what the plugin said of itself.
func (p *Process) Info() pluginapi.Info { return p.info }

// PID returns the process id, which is also that of its process group.
func (p *Process) PID() int { return p.child.pid() }

// Stderr returns the last lines the plugin wrote to stderr, at most 20.
func (p *Process) Stderr() []string { return p.stderr.last() }

// Done is closed when the process and everything about it is gone: its group,
// its socket, the goroutines that served it. No result comes after that.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says how the process ended: nil after a Stop that it obeyed, otherwise an
// *ExitError. It is nil until Done is closed.
func (p *Process) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// Send hands tasks to the plugin, in this order. It never waits for the plugin.
// The tasks must not be changed until their results are in. Tasks sent to a
// process that stops or has died go nowhere; their runs stay open.
func (p *Process) Send(tasks []Sending) { p.out.addTasks(tasks) }

// StartsAt tells whether runs obey the instants that they are sent with. Only then may one
// be sent ahead: it waits in the plugin, and the way there makes it no later.
func (p *Process) StartsAt() bool { return p.startsAt }

// Cancel ends the context of a run with the cause, one of pluginapi's errors
// (ErrTaskCancelled, ErrDraining, ErrLeaseLost, ErrTimeout). The run still has
// a result, whatever the handler then returns. An unknown run is ignored.
func (p *Process) Cancel(run int64, cause error) { p.out.addCancel(run, cause) }

// Stop lets the plugin finish what runs, until ctx ends, then kills what is
// left of it. It returns when Done is closed. To hurry the handlers, Cancel
// their runs.
func (p *Process) Stop(ctx context.Context) {
	stop := context.AfterFunc(ctx, p.Kill)
	defer stop()
	p.out.drain()
	<-p.done
}

// Kill kills the process group at once and does not wait; see Done.
func (p *Process) Kill() {
	p.mu.Lock()
	p.killed = true
	c := p.child
	p.mu.Unlock()
	if c != nil {
		c.kill()
	}
}

// fail kills a process that has broken the protocol or stopped answering.
func (p *Process) fail(reason error) {
	p.mu.Lock()
	if p.reason == nil {
		p.reason = reason
	}
	p.mu.Unlock()
	p.Kill()
}

// finish waits for the end of the process, whatever brings it about, and clears
// up after it.
func (p *Process) finish() {
	select {
	case <-p.child.exited():
		// What it still sent before it died is in the socket's buffer.
		waitFor(p.read, leaveTime)
	case <-p.read:
	}
	leave := time.AfterFunc(leaveTime, p.Kill)
	close(p.closing)
	p.client.Kill()
	leave.Stop()
	<-p.child.exited()
	p.out.close()
	<-p.out.sent
	<-p.read
	p.watchers.Wait()
	p.err = p.exitError()
	p.clearUp()
	close(p.done)
}

// abandon clears up after a start that failed.
func (p *Process) abandon() {
	p.Kill()
	if p.client != nil {
		p.client.Kill()
	}
	p.mu.Lock()
	c := p.child
	p.mu.Unlock()
	if c != nil {
		<-c.exited()
	}
	p.clearUp()
}

// clearUp takes away what was made for the process.
func (p *Process) clearUp() {
	if p.socketDir != "" {
		os.RemoveAll(p.socketDir)
	}
	p.program.drop()
	p.cage.remove()
}

func (p *Process) exitError() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	code, how := p.child.outcome()
	if p.reason == nil && !p.killed && p.out.draining() && code == 0 {
		return nil
	}
	e := &ExitError{Handler: p.spec.Handler, Reason: how, Code: code, Stderr: p.stderr.last(), Err: p.reason}
	switch {
	case p.cage.overflowed():
		e.Reason = "was killed by the kernel: it took more than its memory_max of " + mebibytes(p.spec.MemoryMax)
	case p.reason != nil && p.killed:
		e.Reason = "was killed: " + p.reason.Error()
	}
	return e
}

func waitFor(c <-chan struct{}, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-c:
	case <-t.C:
	}
}
