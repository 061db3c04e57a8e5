package runtime

import (
	"context"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/runtime/pluginhost"
)

// pluginBackend runs a handler in a supervised plugin process.
type pluginBackend struct {
	spec pluginhost.Spec
	sup  *pluginhost.Supervisor

	mu   sync.Mutex
	proc *pluginhost.Process // nil while none is up
}

func newPluginBackend(spec pluginhost.Spec, log hclog.Logger) *pluginBackend {
	spec.Log = log
	return &pluginBackend{spec: spec}
}

func (b *pluginBackend) start(ctx context.Context, e events) error {
	sup, err := pluginhost.Supervise(ctx, b.spec, pluginhost.Hooks{
		Results: e.results,
		OnUp: func(p *pluginhost.Process) {
			b.set(p)
			e.up()
		},
		OnDown: func(_ *pluginhost.Process, err error) {
			b.set(nil)
			e.down(err)
		},
	})
	b.sup = sup
	return err
}

func (b *pluginBackend) set(p *pluginhost.Process) {
	b.mu.Lock()
	b.proc = p
	b.mu.Unlock()
}

func (b *pluginBackend) process() *pluginhost.Process {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.proc
}

func (b *pluginBackend) send(tasks []*pluginapi.Task) {
	if p := b.process(); p != nil {
		p.Send(tasks)
	}
}

func (b *pluginBackend) cancel(run int64, cause error) {
	if p := b.process(); p != nil {
		p.Cancel(run, cause)
	}
}

func (b *pluginBackend) kill() bool {
	p := b.process()
	if p != nil {
		p.Kill()
	}
	return p != nil
}

func (b *pluginBackend) stop(ctx context.Context) {
	if b.sup != nil {
		b.sup.Stop(ctx)
	}
}
