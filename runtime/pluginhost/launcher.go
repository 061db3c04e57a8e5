package pluginhost

import (
	"os/exec"
	goruntime "runtime"
	"sync"
)

// launcher starts processes from one thread that lives as long as the program:
// a parent-death signal is sent when the thread that forked ends, not when the
// process does.
var launcher = sync.OnceValue(func() chan<- launch {
	requests := make(chan launch)
	go launchFromOneThread(requests)
	return requests
})

type launch struct {
	cmd     *exec.Cmd
	started chan<- error
}

// launchFromOneThread never returns.
func launchFromOneThread(requests <-chan launch) {
	goruntime.LockOSThread()
	for r := range requests {
		r.started <- r.cmd.Start()
	}
}

func startOnLauncher(cmd *exec.Cmd) error {
	started := make(chan error, 1)
	launcher() <- launch{cmd: cmd, started: started}
	return <-started
}
