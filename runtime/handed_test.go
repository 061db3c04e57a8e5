package runtime

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/scheduler"
)

// Tasks that are handed over to workers that wait run once, whether the workers hear of them or
// not. Somebody else listens as well, so that they are handed over also while a worker's
// connection is cut.
func TestHandedTasksRunOnce(t *testing.T) {
	r := newRig(t)
	ctx := context.Background()
	r.queue("q", "")
	rdb := r.srv.Client()
	defer rdb.Close()
	named := *rdb.Options()
	named.ClientName = "other"
	others := redis.NewClient(&named)
	defer others.Close()
	var mu sync.Mutex
	ran := make(map[string]int)
	for range 2 {
		defer r.start(func(_ context.Context, task *pluginapi.Task) ([]byte, error) {
			mu.Lock()
			defer mu.Unlock()
			ran[task.ID]++
			return nil, nil
		}, func(o *Options) {
			ready := o.Ready
			o.Ready = func(id string) {
				other := others.Subscribe(ctx, "{test}:wake:"+id)
				t.Cleanup(func() { other.Close() })
				if _, err := other.Receive(ctx); err != nil {
					t.Error(err)
				}
				ready(id)
			}
		})()
	}
	const n = 300
	for i := range n {
		deaf := i%60 == 0
		if deaf {
			r.until("both wait for work", func() bool { return rdb.ZCard(ctx, "{test}:idle:default:go").Val() == 2 })
			deafen(t, rdb)
		}
		r.submit("q", fmt.Sprint("t", i))
		if deaf {
			rdb.ACLSetUser(ctx, "default", "+subscribe")
		}
	}
	late := int64(0)
	r.until("all are done", func() bool {
		q, err := r.client.Queue(ctx, "q")
		late = q.TokensWasted
		return err == nil && q.Completed == n
	})
	if late == 0 { // and went back
		t.Error("the workers heard of all in time")
	}
	mu.Lock()
	defer mu.Unlock()
	if len(ran) != n {
		t.Errorf("%d of %d ran", len(ran), n)
	}
	for id, times := range ran {
		if times != 1 {
			t.Errorf("task %s ran %d times", id, times)
		}
	}
}

// deafen cuts all subscriptions but those of clients with a name, and lets nobody subscribe.
func deafen(t *testing.T, rdb *redis.Client) {
	t.Helper()
	ctx := context.Background()
	if err := rdb.ACLSetUser(ctx, "default", "-subscribe").Err(); err != nil {
		t.Fatal(err)
	}
	list, err := rdb.Do(ctx, "client", "list", "type", "pubsub").Text()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(list) {
		f := strings.Fields(line)
		if id, ok := strings.CutPrefix(f[0], "id="); ok && slices.Contains(f, "name=") {
			rdb.Do(ctx, "client", "kill", "id", id)
		}
	}
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
