package runtime

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/scheduler"
)

// BenchmarkWorker drains waiting tasks of one queue by a handler of this process that does
// nothing: claim, dispatch and settle, without a plugin.
func BenchmarkWorker(b *testing.B) {
	r := newRig(b)
	r.queue("q", "", func(s *scheduler.QueueSpec) { s.Paused = true })
	tasks := make([]scheduler.SubmitRequest, b.N)
	for i := range tasks {
		tasks[i].Payload = make([]byte, 100)
	}
	if _, err := r.client.SubmitMany(context.Background(), "q", tasks); err != nil {
		b.Fatal(err)
	}
	var done atomic.Int64
	all := make(chan struct{})
	r.start(func(context.Context, *pluginapi.Task) ([]byte, error) {
		if done.Add(1) == int64(b.N) {
			close(all)
		}
		return nil, nil
	}, func(o *Options) { o.Handlers["go"] = Handler{Go: o.Handlers["go"].Go, Concurrency: 64} })
	b.ResetTimer()
	if err := r.client.Resume(context.Background(), "q"); err != nil {
		b.Fatal(err)
	}
	<-all
	b.StopTimer()
}
