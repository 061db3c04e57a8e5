//go:build linux

// Package docs runs what the documents show.
package docs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/pluginapi/plugintest"
	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/runtime"
	"github.com/throttlerd/throttlerd/scheduler"
	"github.com/throttlerd/throttlerd/tests/doctest"
	"github.com/throttlerd/throttlerd/tests/proc"
)

func TestMain(m *testing.M) { os.Exit(proc.Main(m)) }

// The sessions of the document are its golden files.
func TestMigratingFromCeleryThrottle(t *testing.T) {
	t.Parallel()
	doctest.Run(t, "docs/migrating-from-celery-throttle.md")
}

// What follows is the document's Go code, which is quoted from here.

// environment stands for a Redis of your own and a shell that names it.
func environment() (stop func()) {
	m, err := miniredis.Run()
	if err != nil {
		log.Fatal(err)
	}
	os.Setenv("THROTTLE_REDIS_URL", "redis://"+m.Addr()+"/0")
	os.Setenv("THROTTLE_NAMESPACE", "acme")
	return func() {
		os.Unsetenv("THROTTLE_REDIS_URL")
		os.Unsetenv("THROTTLE_NAMESPACE")
		m.Close()
	}
}

// must ends an example that went wrong.
func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func Example_options() {
	client, err := scheduler.Open(scheduler.Options{
		Namespace: "acme",
		Redis:     scheduler.RedisOptions{URL: "redis://localhost:6379/1"},
	})
	must(err)
	defer client.Close()
	fmt.Println(client.Namespace())
	// Output:
	// acme
}

func Example_fromEnvironment() {
	defer environment()()
	must(fromEnvironment(context.Background()))
	// Output:
	// acme true
}

func fromEnvironment(ctx context.Context) error {
	options, err := scheduler.OptionsFromEnv()
	if err != nil {
		return err
	}
	client, err := scheduler.Open(options)
	if err != nil {
		return err
	}
	defer client.Close()
	fmt.Println(client.Namespace(), client.WaitReady(ctx) == nil)
	return nil
}

// open returns what fromEnvironment ends with.
func open() *scheduler.Client {
	options, err := scheduler.OptionsFromEnv()
	must(err)
	client, err := scheduler.Open(options)
	must(err)
	return client
}

func Example_submit() {
	defer environment()()
	client := open()
	defer client.Close()
	must(submit(context.Background(), client))
	// Output:
	// waiting: a token is there: true
	// ready 2, waiting 3
	// no queue "email" in namespace "acme"; did you mean "emails"?
}

func submit(ctx context.Context, client *scheduler.Client) error {
	spec := scheduler.DefaultQueue("mailer")
	spec.Rates = ratelimit.Rates{{N: 10, Period: time.Hour, Burst: 3}} // "10/1h:3"
	queue, err := client.CreateQueue(ctx, "emails", spec)
	if err != nil {
		return err
	}
	receipt, err := client.Submit(ctx, scheduler.SubmitRequest{
		Queue: queue, Payload: []byte(`{"to":"ann@example.com"}`),
	})
	if err != nil {
		return err
	}
	fmt.Printf("%s: a token is there: %v\n", receipt.State, receipt.Position == 0)

	tasks := make([]scheduler.SubmitRequest, 5)
	for i := range tasks {
		tasks[i].Payload = fmt.Appendf(nil, `{"item_id":%d}`, i)
	}
	receipts, err := client.SubmitMany(ctx, queue, tasks)
	if err != nil {
		return err
	}
	fmt.Printf("ready %d, waiting %d\n", receipts.Ready(), receipts.Waiting())

	_, err = client.Submit(ctx, scheduler.SubmitRequest{Queue: "email"})
	if missing, ok := errors.AsType[*scheduler.NotFoundError](err); ok {
		fmt.Println(missing) // it is never "queued" into nothing
	}
	return nil
}

func Example_look() {
	defer environment()()
	client := open()
	defer client.Close()
	ctx := context.Background()
	spec := scheduler.DefaultQueue("mailer")
	spec.Rates = ratelimit.Rates{{N: 10, Period: time.Hour, Burst: 3}}
	_, err := client.CreateQueue(ctx, "emails", spec)
	must(err)
	_, err = client.Submit(ctx, scheduler.SubmitRequest{Queue: "emails"})
	must(err)
	must(look(ctx, client))
	must(steer(ctx, client))
	// Output:
	// waiting 1, running 0, completed 0
	// 3 of 3 tokens, 0.0028 a second, next in 0s
	// emails 10/1h:3 paused: false
	// unhealthy: 0 workers
	// emails: 0 workers
	// 20/1m
}

func look(ctx context.Context, client *scheduler.Client) error {
	stats, err := client.QueueStats(ctx, "emails")
	if err != nil {
		return err
	}
	fmt.Printf("waiting %d, running %d, completed %d\n", stats.Waiting, stats.Running, stats.Completed)

	status, err := client.RateStatus(ctx, "emails")
	if err != nil {
		return err
	}
	fmt.Printf("%g of %d tokens, %.4f a second, next in %v\n",
		status.Tokens, status.Capacity, status.RefillPerSecond, status.NextTokenIn)

	queues, err := client.Queues(ctx)
	if err != nil {
		return err
	}
	for _, q := range queues {
		fmt.Println(q.Name, q.Rates, "paused:", q.Paused)
	}

	health, err := client.Health(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %d workers\n", health.Status, health.Workers)

	summary, err := client.WorkerSummary(ctx)
	if err != nil {
		return err
	}
	for queue, service := range summary {
		fmt.Printf("%s: %d workers\n", queue, service.Workers)
	}
	return nil
}

func steer(ctx context.Context, client *scheduler.Client) error {
	rate, err := ratelimit.Parse("20/60s")
	if err != nil {
		return err
	}
	if err := client.UpdateQueue(ctx, "emails", scheduler.QueueChange{Rates: &ratelimit.Rates{rate}}); err != nil {
		return err
	}
	if err := client.Pause(ctx, "emails"); err != nil {
		return err
	}
	if err := client.Resume(ctx, "emails"); err != nil {
		return err
	}
	q, err := client.Queue(ctx, "emails")
	if err != nil {
		return err
	}
	fmt.Println(q.Rates)
	return client.RemoveQueue(ctx, "emails", true)
}

// process is the handler of the document; its plugin's main is
// pluginapi.Serve(pluginapi.HandlerFunc(process)).
func process(ctx context.Context, t *pluginapi.Task) ([]byte, error) {
	var data struct{ To, URL string }
	if err := json.Unmarshal(t.Payload, &data); err != nil {
		return nil, pluginapi.Permanent(err) // no retry makes it right
	}
	switch t.Type {
	case "email":
		return nil, sendEmail(ctx, data.To)
	case "webhook":
		return nil, callWebhook(ctx, data.URL)
	}
	return nil, pluginapi.Permanent(fmt.Errorf("unknown type %q", t.Type))
}

func sendEmail(_ context.Context, to string) error {
	if to == "" {
		return pluginapi.Permanent(errors.New(`payload has no "to"`))
	}
	return nil
}

func callWebhook(context.Context, string) error { return errors.New("503") }

func TestProcess(t *testing.T) {
	for _, c := range []struct {
		kind, payload string
		outcome       pluginapi.Outcome
		err           string
	}{
		{"email", `{"to":"ann@example.com"}`, pluginapi.Done, ""},
		{"email", `{}`, pluginapi.FailedForGood, `no "to"`},
		{"email", `to`, pluginapi.FailedForGood, "invalid character"},
		{"webhook", `{"url":"https://example.com"}`, pluginapi.Failed, "503"},
		{"fax", `{}`, pluginapi.FailedForGood, `unknown type "fax"`},
	} {
		r := plugintest.Run(t, pluginapi.HandlerFunc(process), nil, pluginapi.Task{Type: c.kind, Payload: []byte(c.payload)})
		if r.Outcome != c.outcome || !strings.Contains(r.Err, c.err) {
			t.Errorf("%s %s: %s %s", c.kind, c.payload, r.Outcome, r.Err)
		}
	}
}

func Example_worker() {
	defer environment()()
	client := open()
	defer client.Close()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	spec := scheduler.DefaultQueue("mailer")
	spec.Pool = "api"
	_, err := client.CreateQueue(ctx, "emails", spec)
	must(err)
	_, err = client.Submit(ctx, scheduler.SubmitRequest{Queue: "emails", Payload: []byte("ann")})
	must(err)
	mail := pluginapi.HandlerFunc(func(_ context.Context, t *pluginapi.Task) ([]byte, error) {
		fmt.Printf("to %s\n", t.Payload)
		stop() // seen enough: what runs is finished and settled
		return nil, nil
	})
	must(work(ctx, client, mail))
	// Output:
	// to ann
}

func work(ctx context.Context, client *scheduler.Client, mail pluginapi.Handler) error {
	worker, err := runtime.New(runtime.Options{
		Client:      client,
		Handlers:    map[string]runtime.Handler{"mailer": {Go: mail}},
		Pools:       []string{"api"}, // the dedicated worker's; "default" without it
		Concurrency: 4,
	})
	if err != nil {
		return err
	}
	return worker.Run(ctx) // until ctx ends; then it drains
}
