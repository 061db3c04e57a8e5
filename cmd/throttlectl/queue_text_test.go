package main

import (
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/scheduler"
)

// pictured is a queue that has all that a queue can have.
func pictured() scheduler.Queue {
	four, eight, debt := 4, 8, ratesOf("50/1s,90/1m")
	q := scheduler.Queue{
		Name: "calls", QueueSpec: scheduler.DefaultQueue("http"), Created: noon, Waiting: 7, TokensSpent: 1500, Credited: 20, Owed: 30, Cut: 4, ActiveKeys: 3,
		Bucket: scheduler.Bucket{Running: 8, Tokens: 3.5, Capacity: 20, NextToken: noon.Add(20 * time.Millisecond), At: noon,
			Override: &scheduler.Override{Until: noon.Add(time.Hour), Base: ratesOf("10/1s,300/15m:20")},
			LastEdit: &scheduler.Edit{At: noon, By: "ann@host-a", What: `queue "calls": rate 50/1s:20 for 1h0m0s`}},
		Binding:   &scheduler.Binding{Limit: `limit "github"`, Why: "rate", Need: 2, Have: 1, Next: noon.Add(3 * time.Second)},
		BlockedBy: `limit "github"`,
	}
	q.Rates, q.Concurrency, q.DebtMax, q.Limits = ratesOf("50/1s:20"), 8, 5, []string{"github", "openai"}
	q.Key = &scheduler.KeySpec{Rates: ratesOf("5/1s"), Concurrency: 2, Weight: 1}
	q.Exceptions = map[string]scheduler.KeyRule{"acme": {Rates: &debt, Weight: &four}, "globex\x1b": {Concurrency: &eight}}
	d := q.QueueSpec
	d.Limits, d.Key = nil, nil
	q.Declared, q.Owner = &d, "team-a"
	return q
}

func picturedWorkers() []scheduler.Worker {
	return []scheduler.Worker{{ID: "w1", Pools: []string{"default"}, Slots: map[string]int{"http": 16, "echo": 4}, Host: "host-a", Beat: noon.Add(-300 * time.Millisecond), LeaseEnds: noon.Add(time.Minute)}}
}

func TestQueueShowTextOfLimits(t *testing.T) {
	t.Parallel()
	var a app
	q := pictured()
	a.facts(queueFacts(q, picturedWorkers()))
	for _, line := range verdict(q, picturedWorkers()) {
		a.printf("%s\n", safe(line))
	}
	golden(t, "queue_show_limits.txt", a.out.String())
	a.out.Reset()
	if err := a.printJSON(viewQueue(q, picturedWorkers())); err != nil {
		t.Fatal(err)
	}
	golden(t, "queue_show_limits.json", a.out.String())
}

func TestQueueListTextOfLimits(t *testing.T) {
	t.Parallel()
	plain := scheduler.Queue{Name: "plain", QueueSpec: scheduler.DefaultQueue("echo"), Bucket: scheduler.Bucket{At: noon}}
	rated := plain
	rated.Name, rated.Rates, rated.Capacity, rated.NextToken, rated.Waiting, rated.BlockedBy = "rated", ratesOf("10/1m"), 1, noon.Add(6*time.Second), 3, "rate"
	rated.Binding = &scheduler.Binding{Limit: "queue", Why: "rate", Need: 1, Next: rated.NextToken}
	full := plain
	full.Name, full.Concurrency, full.Running, full.Waiting, full.BlockedBy = "full", 4, 4, 1, "concurrency"
	full.Binding = &scheduler.Binding{Limit: "queue", Why: "concurrency", Need: 1}
	var a app
	a.table(queueTable([]scheduler.Queue{pictured(), plain, rated, full}, picturedWorkers()))
	a.printf("\n")
	a.table(queueTable([]scheduler.Queue{plain, rated}, picturedWorkers()))
	golden(t, "queue_list_limits.txt", a.out.String())
}

func TestReasonsOfBounds(t *testing.T) {
	t.Parallel()
	never := &scheduler.Binding{Limit: "queue", Why: "never", Need: 9}
	first := &scheduler.Binding{Limit: `key "acme"`, Why: "concurrency", Need: 1}
	for _, s := range []struct {
		blocked string
		binding *scheduler.Binding
		want    string
	}{
		{"concurrency", nil, "7 tasks wait: all 8 places of the queue are taken; the next starts when one ends."},
		{"keys", first, `7 tasks wait: each of 3 keys with work is held up by its own bounds; key "acme": needs 1 place, has 0.`},
		{`limit "github"`, nil, `7 tasks wait: limit "github" has no room. See: throttlectl limit show github`},
		{"rate", never, "7 tasks wait: queue: needs 9 tokens, which is above its capacity."},
	} {
		q := pictured()
		q.BlockedBy, q.Binding = s.blocked, s.binding
		if got := reason(q, picturedWorkers()); got != s.want {
			t.Errorf("%q, want %q", got, s.want)
		}
	}
}

func TestDrainedBySlowestRate(t *testing.T) {
	t.Parallel()
	q := pictured()
	q.Rates, q.Tokens = ratesOf("10/1s,60/1m,1000/1s"), 1
	if got := drained(q, 7); got != 6*time.Second {
		t.Errorf("%v, want 6s", got)
	}
	if q.Rates = nil; drained(q, 7) != 0 {
		t.Error("without a rate it takes time")
	}
}

func TestTaskTextOfLimits(t *testing.T) {
	t.Parallel()
	task := scheduler.Task{
		ID: "order-1", Queue: "calls", State: "waiting", Key: "acme", Payload: []byte("{}"), SubmittedAt: time.Now(), Cost: 2, Costs: map[string]int64{"github": 1, "key": 0},
		Position: 3, EarliestStart: noon.Add(time.Minute), Binding: &scheduler.Binding{Limit: `key "acme"`, Why: "concurrency", Need: 1},
	}
	var a app
	a.facts(taskFacts(task))
	golden(t, "task_waiting_limits.txt", a.out.String())
	a.out.Reset()
	if err := a.printJSON(viewTask(task)); err != nil {
		t.Fatal(err)
	}
	golden(t, "task_waiting_limits.json", a.out.String())
	for n, want := range map[int64]string{-1: "more than 10,000 tasks before it", 0: "the next one", 1: "1 task before it", 1200: "1,200 tasks before it"} {
		if got := positionText(n); got != want {
			t.Errorf("position %d: %q, want %q", n, got, want)
		}
	}
}
