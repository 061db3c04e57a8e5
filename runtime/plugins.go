package runtime

import (
	"context"

	"github.com/hashicorp/go-hclog"

	"github.com/throttlerd/throttlerd/runtime/pluginhost"
)

// pluginBackend runs a handler in supervised processes of its plugin.
type pluginBackend struct {
	spec      pluginhost.Spec
	instances int
	log       hclog.Logger
	group     *pluginhost.Group // nil until it has started
}

func newPluginBackend(spec pluginhost.Spec, instances int, log hclog.Logger) *pluginBackend {
	spec.Log = log
	return &pluginBackend{spec: spec, instances: max(1, instances), log: log}
}

func (b *pluginBackend) start(ctx context.Context, e events) error {
	group, err := pluginhost.SuperviseGroup(ctx, b.instances, b.spec, pluginhost.Hooks{
		Results:  e.results,
		OnUp:     func(p *pluginhost.Process) { e.up(p) },
		OnRetire: func(p *pluginhost.Process) { e.retire(p) },
		OnDown:   func(p *pluginhost.Process, err error) { e.down(p, err) },
	})
	b.group = group
	return err
}

func (b *pluginBackend) stop(ctx context.Context) {
	if b.group != nil {
		b.group.Stop(ctx)
	}
}
