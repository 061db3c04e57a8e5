package daemon

import (
	"context"
	"errors"
	"time"

	"github.com/throttlerd/throttlerd/runtime"
	"github.com/throttlerd/throttlerd/runtime/config"
	"github.com/throttlerd/throttlerd/scheduler"
)

// again is how long after Redis was found away a reload is tried again.
const again = 500 * time.Millisecond

// reload brings the declared queues and limits to each new config, whole or not at all; while
// Redis is away it waits, for the latest. What else differs from the config that the
// worker runs with takes effect at the next start.
func reload(ctx context.Context, client *scheduler.Client, w *runtime.Worker, o Options) {
	var next *config.Config // to be applied
	var retry <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case next = <-o.Reload:
			if next.Namespace != o.Config.Namespace || next.Owner != o.Config.Owner {
				o.Log.Error("reload refused: namespace or owner differ; they need a restart")
				next, retry = nil, nil
				continue
			}
		case <-retry:
		}
		retry = nil
		var away *scheduler.UnreachableError
		switch err := client.Apply(ctx, Declaration(next)); {
		case err == nil:
			o.Log.Info("reloaded", "queues", len(next.Queues), "limits", len(next.Limits), "config_hash", next.Hash())
			w.SetConfigHash(next.Hash())
			if !sameWorker(o.Config, next) {
				o.Log.Warn("other changes of the files need a restart")
			}
		case errors.As(err, &away) && ctx.Err() == nil:
			o.Log.Warn("reload waits for Redis", "error", err)
			retry = time.After(again)
		default:
			o.Log.Error("reload refused", "error", err)
		}
	}
}

// sameWorker tells whether two configs differ in their queues and limits alone.
func sameWorker(a, b *config.Config) bool {
	x, y := *a, *b
	x.Queues, y.Queues = nil, nil
	x.Limits, y.Limits = nil, nil
	return x.Hash() == y.Hash()
}
