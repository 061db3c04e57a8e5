package runtime

import (
	"context"

	"github.com/throttlerd/throttlerd/pluginapi"
)

// backend runs the tasks of one handler: a plugin process, or a Go value.
type backend interface {
	// start makes it ready; events of it go to e from then on.
	start(ctx context.Context, e events) error
	// send starts tasks, now. A backend that is down drops them: its down event
	// has named them, or will.
	send(tasks []*pluginapi.Task)
	// cancel ends a task's context.
	cancel(run int64, cause error)
	// kill ends the process with all that runs in it; false when there is none to
	// end.
	kill() bool
	// stop ends it when its tasks are through, at the latest with ctx.
	stop(ctx context.Context)
}

// events is what a backend tells its worker.
type events interface {
	results(list []pluginapi.Result)
	up()
	down(err error)
}
