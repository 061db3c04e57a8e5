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
	// Results takes what the plugin sends back; see Start.
	Results func([]pluginapi.Result)
	// OnUp: a process is ready for tasks. Before it returns the process may
	// already be sent to, and its results may come.
	OnUp func(*Process)
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
	Phase     Phase
	Info      pluginapi.Info // of the last process that came up
	PID       int            // 0 unless up
	Since     time.Time      // when the phase began
	Restarts  int            // processes started after the first one
	LastError error          // why the last process ended or did not start
	Stderr    []string       // its last lines on stderr, at most 20
}

// Supervisor keeps one process of a plugin alive. After a crash it starts
// another one: at once when the last had been healthy, otherwise with a backoff
// that grows from 0.1 s to 30 s.
type Supervisor struct {
	spec    Spec
	hooks   Hooks
	restart backoff

	stopping context.CancelFunc // no further start
	hurry    context.CancelFunc // the process may not finish its tasks any more
	patience context.Context    // ended by hurry
	stopped  chan struct{}

	mu      sync.Mutex
	process *Process // nil while none is up
	state   State
}

// Supervise starts the plugin and keeps it alive. The first start is waited
// for, bounded by ctx; when it fails, its error is returned and nothing is
// supervised.
func Supervise(ctx context.Context, s Spec, hooks Hooks) (*Supervisor, error) {
	first, err := Start(ctx, s, hooks.Results)
	if err != nil {
		return nil, err
	}
	life, cancel := context.WithCancel(context.Background())
	patience, hurry := context.WithCancel(context.Background())
	sup := &Supervisor{
		spec: s, hooks: hooks,
		stopping: cancel, hurry: hurry, patience: patience,
		stopped: make(chan struct{}),
	}
	sup.up(first)
	go sup.run(life, first)
	return sup, nil
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
		if p != nil {
			select {
			case <-p.Done():
			case <-life.Done():
				p.Stop(s.patience)
			}
			s.down(life, p)
		}
		if !sleepUnless(life, s.restart.delay()) {
			s.setPhase(Stopped)
			return
		}
		p = s.startAgain(life)
	}
}

// startAgain returns the new process, nil when it did not start.
func (s *Supervisor) startAgain(life context.Context) *Process {
	p, err := Start(life, s.spec, s.hooks.Results)
	s.mu.Lock()
	s.state.Restarts++
	s.mu.Unlock()
	if err != nil {
		s.notStarted(life, err)
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
	s.mu.Unlock()
	s.setPhase(Up)
	s.spec.logger().Info("plugin up", "handler", s.spec.Handler,
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
	s.state.LastError, s.state.Stderr = p.Err(), p.Stderr()
	s.mu.Unlock()
	if life.Err() == nil {
		s.spec.logger().Error("plugin died", "handler", s.spec.Handler, "error", p.Err())
		s.setPhase(s.restart.phase())
	}
	if s.hooks.OnDown != nil {
		s.hooks.OnDown(p, p.Err())
	}
}

// notStarted records a start that failed.
func (s *Supervisor) notStarted(life context.Context, err error) {
	if life.Err() != nil {
		return
	}
	s.restart.failed(time.Now())
	s.mu.Lock()
	s.state.LastError = err
	if start, ok := errors.AsType[*StartError](err); ok {
		s.state.Stderr = start.Stderr
	}
	s.mu.Unlock()
	s.spec.logger().Error("plugin does not start", "handler", s.spec.Handler, "error", err)
	s.setPhase(Failing)
}

func (s *Supervisor) setPhase(phase Phase) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Phase != phase {
		s.state.Phase, s.state.Since = phase, time.Now()
	}
}

// sleepUnless waits for d and returns true, or false as soon as ctx ends.
func sleepUnless(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
