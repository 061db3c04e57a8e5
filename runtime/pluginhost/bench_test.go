package pluginhost_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/runtime/pluginhost"
)

// BenchmarkEcho measures the path to a plugin and back: a real process, AutoMTLS
// on, 100-byte payloads, a fixed number of tasks in flight. CPU of host and
// plugin together is what the machine has; run it on an idle one.
func BenchmarkEcho(b *testing.B) {
	for _, inFlight := range []int{1, 64, 256} {
		b.Run(fmt.Sprintf("inflight=%d", inFlight), func(b *testing.B) { benchmarkEcho(b, inFlight) })
	}
}

func benchmarkEcho(b *testing.B, inFlight int) {
	var left, open atomic.Int64
	var fence int64 // only the results callback and the start write it, in turn
	finished := make(chan struct{})
	payload := make([]byte, 100)
	next := func() pluginhost.Sending {
		fence++
		return pluginhost.Sending{Task: &pluginapi.Task{
			ID: "q-0000000001", Queue: "q", Attempt: 1, MaxAttempts: 5, Fence: fence, Payload: payload,
			GrantedAt: time.Now(), Deadline: time.Now().Add(30 * time.Second),
		}}
	}
	ready := make(chan *pluginhost.Process, 1)
	var process *pluginhost.Process // of the callback
	started, err := pluginhost.Start(context.Background(), pluginhost.Spec{Handler: "echo", Path: echoPath, MTLS: true},
		pluginhost.Sink{Results: func(results []pluginapi.Result) {
			if process == nil {
				process = <-ready
			}
			var tasks []pluginhost.Sending
			for range results {
				if left.Add(-1) >= 0 {
					tasks = append(tasks, next())
				} else if open.Add(-1) == 0 {
					close(finished)
				}
			}
			if len(tasks) > 0 {
				process.Send(tasks)
			}
		}})
	if err != nil {
		b.Fatal(err)
	}
	ready <- started
	defer started.Stop(context.Background())

	first := min(inFlight, b.N)
	left.Store(int64(b.N - first))
	open.Store(int64(first))
	tasks := make([]pluginhost.Sending, first)
	for i := range tasks {
		tasks[i] = next()
	}
	b.ResetTimer()
	started.Send(tasks)
	<-finished
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
}
