package daemon

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/throttlerd/throttlerd/runtime"
	"github.com/throttlerd/throttlerd/runtime/config"
	"github.com/throttlerd/throttlerd/runtime/declaration"
	"github.com/throttlerd/throttlerd/runtime/pluginhost"
	"github.com/throttlerd/throttlerd/scheduler"
)

// again is how long after Redis was found away a reload is tried again.
const again = 500 * time.Millisecond

// reload brings the declared queues and limits to each new config, whole or not at all; while
// Redis is away it waits, for the latest. Then plugins whose settings or binaries differ
// are replaced. What else differs from the config that the worker runs with takes effect
// at the next start.
func reload(ctx context.Context, client *scheduler.Client, w *runtime.Worker, o Options, dir string) {
	latest := make(chan *config.Config, 1)
	go replacePlugins(ctx, w, latest, o.Log, dir)
	var next *config.Config // to be applied
	var retry <-chan time.Time
	waits := false
	for {
		select {
		case <-ctx.Done():
			return
		case next = <-o.Reload:
			if next.Namespace != o.Config.Namespace || next.Owner != o.Config.Owner {
				o.Log.Error("reload refused: namespace or owner differ; they need a restart")
				next, retry, waits = nil, nil, false
				continue
			}
		case <-retry:
		}
		retry = nil
		var away *scheduler.UnreachableError
		switch err := client.Apply(ctx, declaration.Of(next)); {
		case err == nil:
			o.Log.Info("reloaded", "queues", len(next.Queues), "limits", len(next.Limits), "config_hash", next.Hash())
			w.SetConfigHash(next.Hash())
			select { // the latest counts
			case <-latest:
			default:
			}
			latest <- next
			if !sameWorker(o.Config, next) {
				o.Log.Warn("other changes of the files need a restart")
			}
		case errors.As(err, &away) && ctx.Err() == nil:
			if !waits {
				o.Log.Warn("reload waits for Redis", "error", err)
			}
			retry, waits = time.After(again), true
			continue
		default:
			o.Log.Error("reload refused", "error", err)
		}
		waits = false
	}
}

// replacePlugins replaces what differs from what runs; the worker logs what comes of it.
// A handler that is new needs a restart. Where a plugin refuses its new config, or does not
// start, the hash that the worker announces says so.
func replacePlugins(ctx context.Context, w *runtime.Worker, latest <-chan *config.Config, log hclog.Logger, dir string) {
	for {
		select {
		case <-ctx.Done():
			return
		case c := <-latest:
			var wg sync.WaitGroup
			var old atomic.Bool
			for _, h := range c.Handlers {
				wg.Go(func() {
					err := w.UpdatePlugin(ctx, h.Name, spec(h, dir))
					if start := (*pluginhost.StartError)(nil); errors.As(err, &start) {
						old.Store(true)
						log.Error("plugin keeps the configuration of before", "error", StartDiagnostics(c, h.Name, err).Error())
					}
				})
			}
			wg.Wait()
			hash := c.Hash()
			if old.Load() {
				hash += config.OldPlugins
			}
			w.SetConfigHash(hash)
		}
	}
}

// sameWorker tells whether two configs differ in nothing that needs a restart: in their
// queues and limits, and in how plugins are run.
func sameWorker(a, b *config.Config) bool {
	x, y := *a, *b
	for _, c := range []*config.Config{&x, &y} {
		c.Queues, c.Limits, c.PluginDir = nil, nil, ""
		handlers := make([]config.Handler, len(c.Handlers))
		for i, h := range c.Handlers {
			handlers[i] = config.Handler{Name: h.Name, Instances: h.Instances, Concurrency: h.Concurrency, MaxCrashes: h.MaxCrashes}
		}
		c.Handlers = handlers
	}
	return x.Hash() == y.Hash()
}
