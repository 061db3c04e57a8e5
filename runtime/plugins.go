package runtime

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/throttlerd/throttlerd/runtime/pluginhost"
)

// pluginBackend runs a handler in supervised processes of its plugin.
type pluginBackend struct {
	instances int
	log       hclog.Logger

	replacing sync.Mutex // held while new processes come in

	mu    sync.Mutex
	spec  pluginhost.Spec
	group *pluginhost.Group // nil until it has started
}

func newPluginBackend(spec pluginhost.Spec, instances int, log hclog.Logger) *pluginBackend {
	spec.Log = log
	return &pluginBackend{spec: spec, instances: max(1, instances), log: log}
}

func (b *pluginBackend) start(ctx context.Context, e events) error {
	group, err := pluginhost.SuperviseGroup(ctx, b.instances, b.spec, pluginhost.Hooks{
		Sink:     pluginhost.Sink{Results: e.results, Progress: e.progress},
		OnUp:     func(p *pluginhost.Process) { e.up(p) },
		OnRetire: func(p *pluginhost.Process) { e.retire(p) },
		OnDown:   func(p *pluginhost.Process, err error) { e.down(p, err) },
	})
	b.mu.Lock()
	b.group = group
	b.mu.Unlock()
	return err
}

// present returns the spec in force and the processes, nil before the start.
func (b *pluginBackend) present() (pluginhost.Spec, *pluginhost.Group) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.spec, b.group
}

func (b *pluginBackend) stop(ctx context.Context) {
	if _, group := b.present(); group != nil {
		group.Stop(ctx)
	}
}

// replace brings new processes in, of this spec. With replacing held.
func (b *pluginBackend) replace(ctx context.Context, spec pluginhost.Spec) error {
	_, group := b.present()
	if group == nil {
		return errors.New("it has not started yet")
	}
	spec.Log = b.log
	ctx, cancel := context.WithTimeout(ctx, replaceTime)
	defer cancel()
	b.log.Info("plugin is being replaced")
	if err := group.Replace(ctx, spec); err != nil {
		b.log.Error("plugin not replaced: the old one goes on", "error", err)
		return err
	}
	b.mu.Lock()
	b.spec = spec
	b.mu.Unlock()
	b.log.Info("plugin replaced")
	return nil
}

// outdated tells whether the processes are not what a start by this spec would give: it
// differs from the one in force, or their binary does from the file.
func (b *pluginBackend) outdated(spec pluginhost.Spec) bool {
	now, group := b.present()
	spec.Log = now.Log
	return group != nil && (!reflect.DeepEqual(spec, now) || group.Outdated())
}

// replaceTime is the most that new processes of a plugin may take to be ready.
const replaceTime = time.Minute

// RestartPlugin starts new processes of a handler's plugin, which take over when they
// are ready; the old ones finish their tasks and leave. When one does not come up,
// nothing is changed and its error is returned.
func (w *Worker) RestartPlugin(ctx context.Context, handler string) error {
	b, err := w.plugin(handler)
	if err != nil {
		return err
	}
	b.replacing.Lock()
	defer b.replacing.Unlock()
	spec, _ := b.present()
	return b.replace(ctx, spec)
}

// UpdatePlugin is RestartPlugin with another spec, if that or the binary differs from
// what runs.
func (w *Worker) UpdatePlugin(ctx context.Context, handler string, spec pluginhost.Spec) error {
	b, err := w.plugin(handler)
	if err != nil {
		return err
	}
	b.replacing.Lock()
	defer b.replacing.Unlock()
	if !b.outdated(spec) {
		return nil
	}
	return b.replace(ctx, spec)
}

func (w *Worker) plugin(handler string) (*pluginBackend, error) {
	h := w.handlers[handler]
	if h == nil {
		return nil, fmt.Errorf("no handler %q in this worker", handler)
	}
	b, ok := h.backend.(*pluginBackend)
	if !ok {
		return nil, fmt.Errorf("handler %q is a Go value, not a plugin", handler)
	}
	return b, nil
}
