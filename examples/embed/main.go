// Command embed shows throttlerd inside a program of your own: it creates a queue,
// submits tasks and runs their handler in its own process, beside its other work, and
// puts a new handler in the old one's place while it runs.
//
// It needs a Redis: THROTTLE_REDIS_URL, or redis://127.0.0.1:6379/0.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"sync/atomic"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/runtime"
	"github.com/throttlerd/throttlerd/scheduler"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	rdb, err := scheduler.Dial(scheduler.RedisOptions{URL: os.Getenv("THROTTLE_REDIS_URL"), Asleep: true})
	if err != nil {
		return err
	}
	defer rdb.Close()
	client, err := scheduler.New(rdb, scheduler.Options{Namespace: "embed-example"})
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
	defer stop()

	// 20 calls a second, 3 at once; a queue of a generated name
	spec := scheduler.DefaultQueue("greeter")
	spec.Rates = ratelimit.Rates{{N: 20, Period: time.Second, Burst: 3}}
	queue, err := client.CreateQueue(ctx, "", spec)
	if err != nil {
		return err
	}
	defer func() { _ = client.RemoveQueue(context.Background(), queue, true) }()

	var served atomic.Int64
	greeter := func(greeting string) pluginapi.HandlerFunc {
		return func(_ context.Context, t *pluginapi.Task) ([]byte, error) {
			served.Add(1)
			return fmt.Appendf(nil, "%s, %s", greeting, t.Payload), nil
		}
	}
	worker, err := runtime.New(runtime.Options{
		Client:   client,
		Handlers: map[string]runtime.Handler{"greeter": {Go: greeter("hello"), Concurrency: 8}},
	})
	if err != nil {
		return err
	}
	working, finish := context.WithCancel(ctx)
	defer finish()
	done := make(chan error, 1)
	go func() { done <- worker.Run(working) }()

	// the program's other work goes on meanwhile
	first, err := submit(ctx, client, queue, 10)
	if err != nil {
		return err
	}
	if err := wait(ctx, client, first); err != nil {
		return err
	}
	if err := worker.Swap("greeter", greeter("good evening")); err != nil {
		return err
	}
	second, err := submit(ctx, client, queue, 1)
	if err != nil {
		return err
	}
	if err := wait(ctx, client, second); err != nil {
		return err
	}
	for _, id := range []string{first[9], second[0]} {
		t, err := client.Task(ctx, id)
		if err != nil {
			return err
		}
		fmt.Println(string(t.Result))
	}
	finish() // drains
	if err := <-done; err != nil {
		return err
	}
	fmt.Println(served.Load(), "tasks served")
	return nil
}

// submit puts n tasks in and returns their ids.
func submit(ctx context.Context, client *scheduler.Client, queue string, n int) ([]string, error) {
	tasks := make([]scheduler.SubmitRequest, n)
	for i := range tasks {
		tasks[i].Payload = fmt.Appendf(nil, "guest %d", i)
	}
	receipts, err := client.SubmitMany(ctx, queue, tasks)
	ids := make([]string, len(receipts))
	for i, r := range receipts {
		ids[i] = r.ID
	}
	return ids, err
}

// wait returns when all tasks are done.
func wait(ctx context.Context, client *scheduler.Client, ids []string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for _, id := range ids {
		for {
			t, err := client.Task(ctx, id)
			if err != nil {
				return err
			}
			if t.State == "done" {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("task %s is still %s: %w", id, t.State, ctx.Err())
			case <-tick.C:
			}
		}
	}
	return nil
}
