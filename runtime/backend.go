package runtime

import (
	"context"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/runtime/pluginhost"
)

// backend runs the tasks of one handler: plugin processes, or a Go value.
type backend interface {
	// start makes it ready; events of it go to e from then on.
	start(ctx context.Context, e events) error
	// stop ends it when its tasks are through, at the latest with ctx.
	stop(ctx context.Context)
}

// process is what tasks run in: one process of a plugin, or the worker itself.
type process interface {
	// StartsAt tells whether it obeys the time in which a run may begin.
	StartsAt() bool
	// Send starts tasks. A process that is gone drops them: its down event has
	// named them, or will.
	Send(tasks []pluginhost.Sending)
	// Cancel ends a task's context.
	Cancel(run int64, cause error)
	// Kill ends the process with all that runs in it, where that can be done.
	Kill()
}

// events is what a backend tells its worker.
type events interface {
	results(list []pluginapi.Result)
	// progress comes before the results of its runs.
	progress(list []pluginapi.Progress)
	// up: the process takes tasks.
	up(p process)
	// retire: another one has come up in its place; it takes no more tasks, and
	// finishes those that it has.
	retire(p process)
	// down: the process is gone, with all that ran in it.
	down(p process, err error)
}
