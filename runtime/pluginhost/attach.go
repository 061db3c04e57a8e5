package pluginhost

import (
	"context"
	"fmt"
	"os"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// Attach says where a plugin is that somebody has started by hand, such as under a
// debugger: what it printed when it was started with -debug.
type Attach struct {
	Network string // "unix" or "tcp"
	Address string
	PID     int
}

// attachment is the host's hold of such a plugin: the connection and nothing else. It is
// neither watched nor killed, since a debugger may have stopped it.
type attachment struct {
	conn *grpc.ClientConn
	id   int
	once sync.Once
	over chan struct{} // closed when it has been let go
}

// attach takes the place of dial.
func (p *Process) attach() error {
	a := p.spec.Attach
	p.spec.Log.Warn("attached to a plugin that was started by hand: it is not supervised, and its connection is neither encrypted nor authenticated",
		"handler", p.spec.Handler, "pid", a.PID, "address", a.Address)
	target := "passthrough:///" + a.Address
	if a.Network == "unix" {
		target = "unix://" + a.Address
	}
	conn, err := grpc.NewClient(target, append(dialOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		return err
	}
	held := &attachment{conn: conn, id: a.PID, over: make(chan struct{})}
	p.conn, p.client = conn, held
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.killed {
		held.Kill()
		return context.Canceled
	}
	p.child = held
	return nil
}

// Kill lets the plugin go. It may be attached to again.
func (a *attachment) Kill() {
	a.once.Do(func() {
		a.conn.Close()
		close(a.over)
	})
}

func (a *attachment) kill()                   { a.Kill() }
func (a *attachment) pid() int                { return a.id }
func (a *attachment) ended() <-chan struct{}  { return a.over }
func (a *attachment) exited() <-chan struct{} { return a.over }
func (a *attachment) outcome() (int, string)  { return 0, "was let go" }

// explainAttach says why nobody answers there.
func (p *Process) explainAttach(err error) string {
	a := p.spec.Attach
	where := fmt.Sprintf("the plugin that was started by hand does not answer at %s", a.Address)
	if _, gone := os.Stat(a.Address); a.Network == "unix" && gone != nil {
		where = fmt.Sprintf("there is no plugin at %s any more", a.Address)
	}
	return where + "; start it with -debug and copy what it prints: " + err.Error()
}
