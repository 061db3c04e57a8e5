package scheduler_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/scheduler"
)

// observed is an installation to look at: queue "calls" of 10/1m:5 with three tasks, one
// of them running on a worker with eight slots, three seconds after its start; and queue
// "letters" with a task that nobody serves.
func observed() (*scheduler.Client, func()) {
	m, err := miniredis.Run()
	if err != nil {
		log.Fatal(err)
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	m.SetTime(now)
	client, err := scheduler.Open(scheduler.Options{Redis: scheduler.RedisOptions{URL: "redis://" + m.Addr()}})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	must := func(err error) {
		if err != nil {
			log.Fatal(err)
		}
	}
	calls, letters := scheduler.DefaultQueue("api"), scheduler.DefaultQueue("post")
	calls.Rates = ratelimit.Rates{{N: 10, Period: time.Minute, Burst: 5}}
	_, err = client.CreateQueue(ctx, "calls", calls)
	must(err)
	_, err = client.CreateQueue(ctx, "letters", letters)
	must(err)
	_, err = client.SubmitMany(ctx, "calls", make([]scheduler.SubmitRequest, 3))
	must(err)
	_, err = client.Submit(ctx, scheduler.SubmitRequest{Queue: "letters"})
	must(err)
	worker, err := client.Register(ctx, scheduler.Worker{
		ID: "web-1", Host: "web-1", PID: 4711, Pools: []string{"default"}, Slots: map[string]int{"api": 8}, Lease: 10 * time.Second,
	})
	must(err)
	_, _, _, err = worker.Exchange(ctx, nil, &scheduler.Claim{Slots: []scheduler.Slots{{Index: "default:api", Free: 1}}})
	must(err)
	m.SetTime(now.Add(3 * time.Second))
	return client, func() { client.Close(); m.Close() }
}

func ExampleClient_QueueStats() {
	client, done := observed()
	defer done()
	stats, err := client.QueueStats(context.Background(), "calls")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("waiting:", stats.Waiting)
	fmt.Println("running:", stats.Running)
	fmt.Println("completed:", stats.Completed)
	// Output:
	// waiting: 2
	// running: 1
	// completed: 0
}

func ExampleClient_RateStatus() {
	client, done := observed()
	defer done()
	status, err := client.RateStatus(context.Background(), "calls")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("tokens: %.3f of %d\n", status.Tokens, status.Capacity)
	fmt.Printf("refill: %.4f a second\n", status.RefillPerSecond)
	fmt.Println("next token in", status.NextTokenIn, "at", status.NextTokenAt.UTC().Format(time.TimeOnly))
	// Output:
	// tokens: 4.500 of 5
	// refill: 0.1667 a second
	// next token in 3s at 12:00:06
}

func ExampleClient_Workers() {
	client, done := observed()
	defer done()
	ctx := context.Background()
	now, err := client.Now(ctx) // the clock of Redis, by which leases end
	if err != nil {
		log.Fatal(err)
	}
	workers, err := client.Workers(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, w := range workers {
		fmt.Println(w.ID, w.Pools, w.Slots, "running:", w.Running, "live:", w.Live(now), "heartbeat:", now.Sub(w.Beat), "ago")
	}
	// Output:
	// web-1 [default] map[api:8] running: 1 live: true heartbeat: 3s ago
}

func ExampleClient_WorkerSummary() {
	client, done := observed()
	defer done()
	summary, err := client.WorkerSummary(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range []string{"calls", "letters"} {
		s := summary[name]
		fmt.Printf("%s: %d workers, %d slots\n", name, s.Workers, s.Slots)
	}
	// Output:
	// calls: 1 workers, 8 slots
	// letters: 0 workers, 0 slots
}

func ExampleClient_Health() {
	client, done := observed()
	defer done()
	health, err := client.Health(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(health.Status, "with", health.Workers, "live worker")
	for _, reason := range health.Reasons {
		fmt.Println("-", reason)
	}
	// Output:
	// unhealthy with 1 live worker
	// - queue "letters" has 1 waiting, but no live worker serves handler "post" in pool "default"
}

func ExampleClient_Queues() {
	client, done := observed()
	defer done()
	queues, err := client.Queues(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	for _, q := range queues {
		fmt.Printf("%s: rate %s, %d waiting, blocked by %q\n", q.Name, q.Rates, q.Waiting, q.BlockedBy)
	}
	// Output:
	// calls: rate 10/1m:5, 2 waiting, blocked by ""
	// letters: rate unlimited, 1 waiting, blocked by ""
}
