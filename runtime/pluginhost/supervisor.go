package pluginhost

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
)

// Hooks are how a Supervisor speaks to its owner. They are called from its
// goroutines and must not call its Stop.
type Hooks struct {
	Sink
	// OnUp: a process is ready for tasks. Before it returns the process may
	// already be sent to, and its results may come.
	OnUp func(*Process)
	// OnRetire: another process has taken over, whose OnUp came before. When it
	// returns the process must be sent no more tasks; it finishes those it has.
	OnRetire func(*Process)
	// OnDown: the process is gone for good; no result of its runs will come any
	// more. It follows the OnUp of the same process. The error is Process.Err.
	OnDown func(*Process, error)
}

// Phase is what a supervised plugin is at.
type Phase string

// The phases.
const (
	Starting Phase = "starting" // down, a start is under way or due at once
	Up       Phase = "up"
	Failing  Phase = "failing" // down, it does not start or crashes all the time
	Stopped  Phase = "stopped"
)

// State describes a supervised plugin.
type State struct {
	Phase       Phase
	Info        pluginapi.Info // of the last process that came up
	PID         int            // 0 unless up
	Since       time.Time      // when the phase began
	Restarts    int            // starts because a process had ended
	LastError   error          // why the last process died or did not start
	LastErrorAt time.Time
	Stderr      []string // its last lines on stderr, at most 20
}

// Supervisor keeps one process of a plugin alive. After a crash it starts
// another one: at once when the last had been healthy, otherwise with a backoff
// that grows from 0.1 s to 30 s.
type Supervisor struct {
	hooks   Hooks
	restart backoff       // of run alone
	adopted chan adoption // a process that takes over

	stopping context.CancelFunc // no further start
	hurry    context.CancelFunc // the process may not finish its tasks any more
	patience context.Context    // ended by hurry
	retired  sync.WaitGroup     // processes that finish beside the present one
	stopped  chan struct{}

	mu      sync.Mutex
	spec    Spec
	process *Process           // nil while none is up
	abort   context.CancelFunc // ends the start that is under way, if one is
	state   State
}

// Supervise starts the plugin and keeps it alive. The first start is waited
// for, bounded by ctx; when it fails, its error is returned and nothing is
// supervised.
func Supervise(ctx context.Context, s Spec, hooks Hooks) (*Supervisor, error) {
	first, err := Start(ctx, s, hooks.Sink)
	if err != nil {
		return nil, err
	}
	return supervise(s, hooks, first), nil
}

func supervise(s Spec, hooks Hooks, first *Process) *Supervisor {
	life, cancel := context.WithCancel(context.Background())
	patience, hurry := context.WithCancel(context.Background())
	sup := &Supervisor{
		spec: s, hooks: hooks, adopted: make(chan adoption), abort: func() {},
		stopping: cancel, hurry: hurry, patience: patience,
		stopped: make(chan struct{}),
	}
	sup.up(first)
	go sup.run(life, first)
	return sup
}

// Process returns the process that takes tasks now, nil when none is up.
func (s *Supervisor) Process() *Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process
}

// State returns how the plugin is doing.
func (s *Supervisor) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Stop ends the process as Process.Stop does, starts no other, and returns when
// nothing is left, after the last OnDown. A second call with a shorter ctx
// hurries the first.
func (s *Supervisor) Stop(ctx context.Context) {
	stop := context.AfterFunc(ctx, s.hurry)
	defer stop()
	s.stopping()
	<-s.stopped
}

// run follows one process after the other until life ends.
func (s *Supervisor) run(life context.Context, p *Process) {
	defer close(s.stopped)
	for {
		var ended <-chan struct{}
		var again <-chan time.Time
		if p != nil {
			ended = p.Done()
		} else {
			again = time.After(s.restart.delay())
		}
		select {
		case <-ended:
			s.down(life, p)
			p = nil
		case <-again:
			p = s.startAgain(life)
		case a := <-s.adopted:
			s.adopt(p, a)
			p = a.process
		case <-life.Done():
			if p != nil {
				p.Stop(s.patience)
				s.down(life, p)
			}
			s.retired.Wait()
			s.setPhase(Stopped)
			return
		}
	}
}

// startAgain returns the new process, nil when it did not start.
func (s *Supervisor) startAgain(life context.Context) *Process {
	ctx, abort := context.WithCancel(life)
	defer abort()
	s.mu.Lock()
	s.abort = abort
	spec := s.spec
	s.state.Restarts++
	s.mu.Unlock()
	p, err := Start(ctx, spec, s.hooks.Sink)
	if err != nil {
		s.notStarted(ctx, err)
		return nil
	}
	s.up(p)
	return p
}

func (s *Supervisor) up(p *Process) {
	s.restart.started(time.Now())
	s.mu.Lock()
	s.process = p
	s.state.Info, s.state.PID = p.Info(), p.PID()
	s.state.Phase, s.state.Since = Up, time.Now()
	s.mu.Unlock()
	p.spec.Log.Info("plugin up", "handler", p.spec.Handler,
		"plugin", p.Info().Name, "version", p.Info().Version, "pid", p.PID())
	if s.hooks.OnUp != nil {
		s.hooks.OnUp(p)
	}
}

func (s *Supervisor) down(life context.Context, p *Process) {
	s.restart.ended(time.Now())
	s.mu.Lock()
	s.process = nil
	s.state.PID = 0
	s.mu.Unlock()
	s.buried(p)
	if life.Err() == nil {
		s.setPhase(s.restart.phase())
	}
	if s.hooks.OnDown != nil {
		s.hooks.OnDown(p, p.Err())
	}
}

// buried records what a process died of; one that left as it was told to died of
// nothing.
func (s *Supervisor) buried(p *Process) {
	if p.Err() == nil {
		return
	}
	s.mu.Lock()
	s.state.LastError, s.state.LastErrorAt, s.state.Stderr = p.Err(), time.Now(), p.Stderr()
	s.mu.Unlock()
	p.spec.Log.Error("plugin died", "handler", p.spec.Handler, "error", p.Err())
}

// notStarted records a start that failed. ctx is that of the start.
func (s *Supervisor) notStarted(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	s.restart.failed(time.Now())
	s.failed(err)
	s.spec.logger().Error("plugin does not start", "handler", s.spec.Handler, "error", err)
	s.setPhase(Failing)
}

// failed makes err the last error.
func (s *Supervisor) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.LastError, s.state.LastErrorAt, s.state.Stderr = err, time.Now(), nil
	if start, ok := errors.AsType[*StartError](err); ok {
		s.state.Stderr = start.Stderr
	}
}

func (s *Supervisor) setPhase(phase Phase) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Phase != phase {
		s.state.Phase, s.state.Since = phase, time.Now()
	}
}
