package runtime_test

import (
	"context"
	"fmt"
	"log"

	"github.com/alicebob/miniredis/v2"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/runtime"
	"github.com/throttlerd/throttlerd/scheduler"
)

// A program may run handlers in its own process, beside its other work.
func Example() {
	m, err := miniredis.Run() // stands for your own Redis
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	rdb, err := scheduler.Dial(scheduler.RedisOptions{URL: "redis://" + m.Addr(), Asleep: true})
	if err != nil {
		log.Fatal(err)
	}
	defer rdb.Close()
	client, err := scheduler.New(rdb, scheduler.Options{Namespace: "acme"})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	if _, err := client.CreateQueue(ctx, "greetings", scheduler.DefaultQueue("greeter")); err != nil {
		log.Fatal(err)
	}
	if _, err := client.Submit(ctx, scheduler.SubmitRequest{Queue: "greetings", Payload: []byte("world")}); err != nil {
		log.Fatal(err)
	}
	greet := func(_ context.Context, t *pluginapi.Task) ([]byte, error) {
		fmt.Printf("hello, %s\n", t.Payload)
		stop() // this example has seen enough; what runs is finished and settled
		return nil, nil
	}
	w, err := runtime.New(runtime.Options{
		Client:   client,
		Handlers: map[string]runtime.Handler{"greeter": {Go: pluginapi.HandlerFunc(greet)}},
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := w.Run(ctx); err != nil {
		log.Fatal(err)
	}
	q, err := client.Queue(context.Background(), "greetings")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(q.Completed, "done")
	// Output:
	// hello, world
	// 1 done
}
