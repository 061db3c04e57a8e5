package runtime

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/scheduler"
)

// Tasks that are handed over to workers that wait run once, whether the workers hear of them or
// not.
func TestHandedTasksRunOnce(t *testing.T) {
	r := newRig(t)
	ctx := context.Background()
	r.queue("q", "")
	var mu sync.Mutex
	ran := make(map[string]int)
	for range 3 {
		defer r.start(func(_ context.Context, task *pluginapi.Task) ([]byte, error) {
			mu.Lock()
			defer mu.Unlock()
			ran[task.ID]++
			return nil, nil
		})()
	}
	const n = 600
	rdb := r.srv.Client()
	defer rdb.Close()
	for i := range n {
		r.submit("q", fmt.Sprint("t", i))
		if i%40 == 0 {
			rdb.Do(ctx, "client", "kill", "type", "pubsub")
		}
	}
	r.until("all are done", func() bool {
		q, err := r.client.Queue(ctx, "q")
		return err == nil && q.Completed == n
	})
	if mu.Lock(); len(ran) != n {
		t.Errorf("%d of %d ran", len(ran), n)
	}
	for id, times := range ran {
		if times != 1 {
			t.Errorf("task %s ran %d times", id, times)
		}
	}
	mu.Unlock()
}

// A lease of which the worker never hears, also not by its claims, is found by its ticks.
func TestStrayLeaseIsGivenBack(t *testing.T) {
	defer func(d time.Duration) { straysAfter = d }(straysAfter)
	straysAfter = 500 * time.Millisecond
	r := newRig(t)
	ctx := context.Background()
	r.queue("q", "", func(q *scheduler.QueueSpec) { q.Paused = true })
	r.submit("q", "lost")
	ready := make(chan string, 1)
	defer r.start(func(context.Context, *pluginapi.Task) ([]byte, error) { return nil, nil }, func(o *Options) {
		o.Lease = time.Second // four ticks a second
		started := o.Ready
		o.Ready = func(id string) {
			ready <- id
			started(id)
		}
	})()
	worker := <-ready
	rdb := r.srv.Client()
	defer rdb.Close()
	// as a Redis that lost its last writes, and was told them by nobody: the claim's number too
	id, err := rdb.LPop(ctx, "{test}:wait:q").Result()
	if err != nil {
		t.Fatal(err)
	}
	pipe := rdb.TxPipeline()
	pipe.HSet(ctx, "{test}:q:q", "waiting", 0, "running", 1, "seq", 1)
	pipe.HSet(ctx, "{test}:run:"+worker, id, "1 1 1 1 q")
	if _, err := pipe.Exec(ctx); err != nil {
		t.Fatal(err)
	}
	r.until("it has gone back", func() bool {
		q, err := r.client.Queue(ctx, "q")
		return err == nil && q.Running == 0 && q.Waiting == 1
	})
}
