package daemon

import (
	"context"

	"github.com/throttlerd/throttlerd/runtime/config"
	"github.com/throttlerd/throttlerd/scheduler"
)

// reload brings the declared queues to each new config. What else differs from the
// config that the worker runs with takes effect at the next start.
func reload(ctx context.Context, client *scheduler.Client, o Options) {
	for {
		select {
		case <-ctx.Done():
			return
		case c := <-o.Reload:
			if c.Namespace != o.Config.Namespace || c.Owner != o.Config.Owner {
				o.Log.Error("reload refused: namespace or owner differ; they need a restart")
				continue
			}
			if err := client.Apply(ctx, Declaration(c)); err != nil {
				o.Log.Error("reload refused", "error", err)
				continue
			}
			o.Log.Info("reloaded", "queues", len(c.Queues), "config_hash", c.Hash())
			if !sameWorker(o.Config, c) {
				o.Log.Warn("other changes of the files need a restart")
			}
		}
	}
}

// sameWorker tells whether two configs differ in their queues alone.
func sameWorker(a, b *config.Config) bool {
	x, y := *a, *b
	x.Queues, y.Queues = nil, nil
	return x.Hash() == y.Hash()
}
