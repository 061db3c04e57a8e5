package scheduler_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/scheduler"
)

// connect stands for your own Redis.
func connect() (*scheduler.Client, func()) {
	m, err := miniredis.Run()
	if err != nil {
		log.Fatal(err)
	}
	rdb, err := scheduler.Dial(scheduler.RedisOptions{URL: "redis://" + m.Addr()})
	if err != nil {
		log.Fatal(err)
	}
	client, err := scheduler.New(rdb, scheduler.Options{Namespace: "acme"})
	if err != nil {
		log.Fatal(err)
	}
	return client, func() { rdb.Close(); m.Close() }
}

func ExampleClient_Submit() {
	client, done := connect()
	defer done()
	ctx := context.Background()
	if _, err := client.CreateQueue(ctx, "deploys", scheduler.DefaultQueue("deploy_hook")); err != nil {
		log.Fatal(err)
	}
	task := scheduler.SubmitRequest{
		Queue:   "deploys",
		ID:      "build-4711", // the same ID again is ErrTaskExists, not a second task
		Payload: []byte(`{"commit":"9f1c2e"}`),
	}
	receipt, err := client.Submit(ctx, task)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(receipt.ID, receipt.State)
	_, err = client.Submit(ctx, task)
	fmt.Println(errors.Is(err, scheduler.ErrTaskExists))
	// Output:
	// build-4711 waiting
	// true
}

func ExampleClient_SubmitMany() {
	client, done := connect()
	defer done()
	ctx := context.Background()
	spec := scheduler.DefaultQueue("mailer")
	spec.Rates = ratelimit.Rates{{N: 10, Period: time.Minute, Burst: 3}}
	if _, err := client.CreateQueue(ctx, "emails", spec); err != nil {
		log.Fatal(err)
	}
	receipts, err := client.SubmitMany(ctx, "emails", make([]scheduler.SubmitRequest, 5))
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range receipts {
		fmt.Println(r.State, r.Position) // 0: a token is there now
	}
	// Output:
	// waiting 0
	// waiting 0
	// waiting 0
	// waiting 1
	// waiting 2
}

func ExampleClient_Queue() {
	client, done := connect()
	defer done()
	ctx := context.Background()
	spec := scheduler.DefaultQueue("mailer")
	spec.Rates = ratelimit.Rates{{N: 1, Period: time.Hour, Burst: 20}}
	if _, err := client.CreateQueue(ctx, "emails", spec); err != nil {
		log.Fatal(err)
	}
	if err := client.Pause(ctx, "emails"); err != nil {
		log.Fatal(err)
	}
	q, err := client.Queue(ctx, "emails")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(q.Rates, q.Tokens, q.BlockedBy)
	_, err = client.Queue(ctx, "emials")
	fmt.Println(err)
	// Output:
	// 1/1h:20 20 paused
	// no queue "emials" in namespace "acme"; did you mean "emails"?
}
