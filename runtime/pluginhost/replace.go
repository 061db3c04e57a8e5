package pluginhost

import (
	"context"
	"os"
)

// adoption is a process that takes over from the present one, and how it and those
// that follow it are run.
type adoption struct {
	process *Process
	spec    Spec
	done    chan struct{} // closed when it has
}

// replace makes p, which is ready for tasks, the present process. It returns when
// that is so; the old one, if there is one, finishes its tasks and leaves. A
// Supervisor that has been stopped kills p.
func (s *Supervisor) replace(p *Process, spec Spec) {
	s.mu.Lock()
	abort := s.abort
	s.mu.Unlock()
	abort() // what would start is the old plugin
	a := adoption{p, spec, make(chan struct{})}
	select {
	case s.adopted <- a:
		<-a.done
	case <-s.stopped:
		p.Kill()
		<-p.Done()
	}
}

// adopt is the part of run's goroutine.
func (s *Supervisor) adopt(old *Process, a adoption) {
	defer close(a.done)
	s.mu.Lock()
	s.spec = a.spec
	s.mu.Unlock()
	s.restart = backoff{}
	s.up(a.process)
	if old == nil {
		return
	}
	if s.hooks.OnRetire != nil {
		s.hooks.OnRetire(old)
	}
	s.retired.Go(func() { s.retire(old) })
}

// retire lets a process finish that takes no more tasks.
func (s *Supervisor) retire(p *Process) {
	p.Stop(s.patience)
	s.buried(p)
	if s.hooks.OnDown != nil {
		s.hooks.OnDown(p, p.Err())
	}
}

// Group keeps so many processes of one plugin alive, each by itself.
type Group struct {
	hooks   Hooks
	members []*Supervisor
}

// SuperviseGroup is Supervise for n processes: all of them start, or none.
func SuperviseGroup(ctx context.Context, n int, s Spec, hooks Hooks) (*Group, error) {
	first, err := startAll(ctx, n, s, hooks)
	if err != nil {
		return nil, err
	}
	g := &Group{hooks: hooks}
	for _, p := range first {
		g.members = append(g.members, supervise(s, hooks, p))
	}
	return g, nil
}

// Replace starts a new process beside each of the group, from this spec. When all of
// them are ready they take over, and each old one finishes its tasks and leaves, which
// Replace does not wait for. When one does not become ready, nothing is changed, and
// its error is returned and shown as the last one. ctx bounds the start. There is one
// Replace at a time.
func (g *Group) Replace(ctx context.Context, s Spec) error {
	fresh, err := startAll(ctx, len(g.members), s, g.hooks)
	if err != nil {
		for _, m := range g.members {
			m.failed(err)
		}
		return err
	}
	for i, m := range g.members {
		m.replace(fresh[i], s)
	}
	return nil
}

// startAll starts n processes at once, all or none.
func startAll(ctx context.Context, n int, s Spec, hooks Hooks) ([]*Process, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type started struct {
		process *Process
		err     error
	}
	results := make(chan started)
	for range n {
		go func() {
			p, err := Start(ctx, s, hooks.Sink)
			results <- started{p, err}
		}()
	}
	var up []*Process
	var failure error
	for range n {
		switch r := <-results; {
		case r.err == nil:
			up = append(up, r.process)
		case failure == nil:
			failure = r.err
			cancel() // the others end early, and their errors say no more
		}
	}
	if failure == nil {
		return up, nil
	}
	for _, p := range up {
		p.Kill()
	}
	for _, p := range up {
		<-p.Done()
	}
	return nil, failure
}

// Outdated tells whether a process is down, or was started from a binary that is not
// the file of now.
func (g *Group) Outdated() bool {
	for _, m := range g.members {
		p := m.Process()
		if p == nil {
			return true
		}
		if p.spec.Attach != nil {
			continue
		}
		now, err := os.Stat(p.spec.Path)
		if err != nil || !os.SameFile(now, p.binary) || !now.ModTime().Equal(p.binary.ModTime()) || now.Size() != p.binary.Size() {
			return true
		}
	}
	return false
}

// States describe the processes of the group.
func (g *Group) States() []State {
	out := make([]State, len(g.members))
	for i, m := range g.members {
		out[i] = m.State()
	}
	return out
}

// Stop stops all as Supervisor.Stop does.
func (g *Group) Stop(ctx context.Context) {
	for _, m := range g.members {
		m.stopping()
	}
	for _, m := range g.members {
		m.Stop(ctx)
	}
}
