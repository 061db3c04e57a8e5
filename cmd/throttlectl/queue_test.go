package main

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/scheduler"
)

func TestQueueLife(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.worker("w1", map[string]int{"smtp": 8})

	if r := b.run("queue", "list"); r.code != 0 || r.out != "" || !strings.Contains(r.err, `No queues in namespace "throttle"`) {
		t.Errorf("empty list: %+v", r)
	}
	if got := b.ok("queue", "list", "--json"); got != "[]\n" {
		t.Errorf("empty list: %q", got)
	}
	if got := b.ok("queue", "create", "60/60s:5", "--name", "emails", "--timeout", "1m", "--max-attempts", "3",
		"--retry-min", "2s", "--retry-max", "1h", "--jitter", "0.25", "--history", "7", "--paused"); got != "emails\n" {
		t.Errorf("create: %q", got)
	}
	q, err := b.Queue(b.ctx(), "emails")
	b.must(err)
	want := scheduler.QueueSpec{
		Handler: "smtp", Pool: "default", LimitSpec: scheduler.LimitSpec{Rates: ratelimit.Rates{{N: 60, Period: time.Minute, Burst: 5}}}, Timeout: time.Minute, History: 7, Paused: true,
		Retry: scheduler.Retry{MaxAttempts: 3, Min: 2 * time.Second, Max: time.Hour, Jitter: 0.25},
	}
	if !q.QueueSpec.Equal(want) {
		t.Errorf("created %+v, want %+v", q.QueueSpec, want)
	}
	generated := b.ok("queue", "create", "unlimited")
	if !regexp.MustCompile(`^q-[0-9a-f]{8}\n$`).MatchString(generated) {
		t.Errorf("generated name: %q", generated)
	}
	var made struct{ Name string }
	if b.decode(&made, "queue", "create", "unlimited", "--name", "bulk"); made.Name != "bulk" {
		t.Errorf("create --json: %+v", made)
	}

	if got := b.ok("queue", "resume", "emails"); got != "emails: resumed, 0 waiting, 0 running\n" {
		t.Errorf("resume: %q", got)
	}
	if got := b.ok("queue", "pause", "emails"); got != "emails: paused, 0 waiting, 0 running\n" {
		t.Errorf("pause: %q", got)
	}
	var shown queueView
	if b.decode(&shown, "queue", "pause", "emails"); shown.State != "paused" || !shown.Paused || *shown.BlockedBy != "paused" {
		t.Errorf("pause --json: %+v", shown)
	}
	if got := b.ok("queue", "update", "emails", "--rate", "10/1s", "--timeout", "30s"); got != "emails: rate 60/1m:5 -> 10/1s, timeout 1m -> 30s\n" {
		t.Errorf("update: %q", got)
	}
	if got := b.ok("queue", "update", "emails", "--history", "7"); got != "emails: as it was\n" {
		t.Errorf("update to the same: %q", got)
	}
	if b.decode(&shown, "queue", "update", "emails", "--rate", "unlimited"); shown.Rate != "unlimited" || shown.Tokens != nil {
		t.Errorf("update --json: %+v", shown)
	}

	b.submit("emails", "{}")
	b.submit("emails", "{}")
	if got := b.ok("queue", "purge", "emails", "--yes"); got != "emails: 2 tasks dropped\n" {
		t.Errorf("purge: %q", got)
	}
	var purged struct {
		Queue  string
		Purged int
	}
	b.submit("emails", "{}")
	if b.decode(&purged, "queue", "purge", "emails", "--yes"); purged.Queue != "emails" || purged.Purged != 1 {
		t.Errorf("purge --json: %+v", purged)
	}
	if got := b.ok("queue", "remove", "emails", "--yes"); got != "emails: removed\n" {
		t.Errorf("remove: %q", got)
	}
	b.submit("bulk", "{}")
	var removed struct {
		Queue   string
		Removed bool
	}
	if b.decode(&removed, "queue", "remove", "bulk", "--force", "--yes"); removed.Queue != "bulk" || !removed.Removed {
		t.Errorf("remove --json: %+v", removed)
	}
	var left []queueView
	if b.decode(&left, "queue", "list"); len(left) != 1 || left[0].Name+"\n" != generated {
		t.Errorf("left: %+v", left)
	}
}

func TestCreateChoosesTheHandler(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.register(scheduler.Worker{ID: "gone", Slots: map[string]int{"old": 1}, Pools: []string{"default"}, Lease: time.Millisecond})
	b.register(scheduler.Worker{ID: "other", Slots: map[string]int{"fax": 1}, Pools: []string{"slow"}, Lease: time.Minute})
	b.waitUntil(func(now time.Time) bool { return b.lost("gone", now) })

	if r := b.run("queue", "create", "unlimited"); r.code != 2 {
		t.Errorf("no live worker in the pool: %+v", r)
	}
	b.ok("queue", "create", "unlimited", "--name", "a", "--pool", "slow")
	if q, _ := b.Queue(b.ctx(), "a"); q.Handler != "fax" {
		t.Errorf("handler %q", q.Handler)
	}
	b.worker("w1", map[string]int{"smtp": 8, "sms": 2})
	r := b.run("queue", "create", "unlimited")
	if r.code != 2 {
		t.Errorf("two handlers: %+v", r)
	}
	contains(t, r.err, "choose one with --handler: sms, smtp")

	r = b.run("queue", "create", "unlimited", "--name", "b", "--handler", "smtpp")
	if r.code != 0 || r.out != "b\n" {
		t.Errorf("a handler that nobody serves: %+v", r)
	}
	contains(t, r.err, `Warning: no live worker serves handler "smtpp"`, `did you mean "smtp"?`)
}

func TestQueueShowSaysWhyNothingMoves(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.worker("w1", map[string]int{"echo": 2})

	steps := []struct {
		queue   string
		prepare func(queue string)
		blocked string   // blocked_by in JSON; "" is null
		says    []string // to a person
	}{
		{"empty", func(q string) { b.queue(q, "echo", "10/1m:5") }, "", []string{
			"10/1m:5 (one each 6s, up to 5 at once)", "5 of 5, full", "1 live worker with 2 slots", "Nothing waits now; a task that is submitted starts"}},
		{"ready", func(q string) { b.queue(q, "echo", ""); b.submit(q, "{}") }, "", []string{
			"unlimited (no limit)", "1 task waits and may start now", "all 2 slots"}},
		{"paused", func(q string) { b.queue(q, "echo", ""); b.submit(q, "{}"); b.must(b.Pause(b.ctx(), q)) }, "paused", []string{
			"blocked by    paused", "1 task waits: the queue is paused. To start it: throttlectl queue resume paused"}},
		{"lonely", func(q string) { b.queue(q, "ecko", "1/1h"); b.submit(q, "{}") }, `no live worker serves handler "ecko"`, []string{
			`blocked by    no live worker serves handler "ecko"`, `Live workers of pool "default" serve: echo; did you mean "echo"?`}},
		{"pooled", func(q string) {
			spec := scheduler.DefaultQueue("echo")
			spec.Pool = "slow"
			_, err := b.CreateQueue(b.ctx(), q, spec)
			b.must(err)
		}, `no live worker serves handler "echo" in pool "slow"`, []string{"throttlerd run --pool slow"}},
		{"rated", func(q string) {
			b.queue(q, "rated", "1/1h")
			w := b.worker("w2", map[string]int{"rated": 1})
			b.submit(q, "{}")
			b.submit(q, "{}")
			b.submit(q, "{}")
			b.settle(w, b.claim(w, "rated", 1)[0], scheduler.Done, "", 0)
		}, "rate", []string{"0 of 1, next in", "(one each 1h)", "2 tasks wait for tokens: the next comes in", "they are all covered in ", "completed     1"}},
		{"frozen", func(q string) {
			b.queue(q, "frozen", "")
			w := b.worker("w3", map[string]int{"frozen": 1})
			b.submit(q, "{}")
			b.settle(w, b.claim(w, "frozen", 1)[0], scheduler.Throttled, "slow down", (90 * time.Second).Microseconds())
		}, "frozen", []string{"the upstream said slow down; tasks start again in 1m"}},
		{"later", func(q string) {
			b.queue(q, "echo", "")
			_, err := b.Submit(b.ctx(), scheduler.SubmitRequest{Queue: q, In: time.Hour, Payload: []byte("{}")})
			b.must(err)
		}, "", []string{"scheduled     1", "Nothing waits now; 1 task is scheduled for later."}},
		{"deadly", func(q string) {
			b.queue(q, "deadly", "")
			w := b.worker("w4", map[string]int{"deadly": 1})
			b.submit(q, "{}")
			b.settle(w, b.claim(w, "deadly", 1)[0], scheduler.Dead, "no such user", 0)
		}, "", []string{"1 dead task: throttlectl task list -q deadly --state dead"}},
		{"overridden", func(q string) {
			b.declare("team-a", q, "5/1m")
			r, _ := ratelimit.Parse("10/1m")
			b.must(b.UpdateQueue(b.ctx(), q, scheduler.QueueChange{Rates: &ratelimit.Rates{r}}))
		}, "", []string{`the file of owner "team-a"`, "OVERRIDE", "rate is 10/1m, the file says 5/1m"}},
		{"undeclared", func(q string) {
			b.declare("team-b", q, "")
			b.must(b.Apply(b.ctx(), scheduler.Declaration{Owner: "team-b"}))
		}, "undeclared", []string{`the file of owner "team-b" does not declare the queue any more`, "queue remove undeclared --force"}},
		{"damaged", func(q string) {
			b.queue(q, "echo", "1/1h")
			rdb := b.server.Client()
			defer rdb.Close()
			b.must(rdb.HSet(b.ctx(), "{throttle}:q:"+q, "rate", "?").Err())
		}, "damaged", []string{"cannot be read, so nothing of it starts", "queue update damaged --rate RATE"}},
	}
	for _, s := range steps {
		s.prepare(s.queue)
		contains(t, b.ok("queue", "show", s.queue), s.says...)
		var v queueView
		b.decode(&v, "queue", "show", s.queue)
		if got := value(v.BlockedBy); got != s.blocked {
			t.Errorf("%s: blocked by %q, want %q", s.queue, got, s.blocked)
		}
	}

	// the same queue, when its worker has died
	b.must(w.Leave(b.ctx()))
	var all []queueView
	b.decode(&all, "queue", "list")
	for _, v := range all {
		if v.Name == "ready" && value(v.BlockedBy) != `no live worker serves handler "echo"` {
			t.Errorf("without its worker %s is blocked by %q", v.Name, value(v.BlockedBy))
		}
	}
	contains(t, b.ok("queue", "list"), "QUEUE", "BLOCKED BY", "0/1, next in ")
}

func TestOverridesAreNoted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.worker("w1", map[string]int{"echo": 1})
	b.declare("team-a", "emails", "5/1m")
	for _, args := range [][]string{{"queue", "update", "emails", "--rate", "10/1m"}, {"queue", "pause", "emails"}} {
		r := b.run(args...)
		if r.code != 0 {
			t.Errorf("%q: %+v", args, r)
		}
		contains(t, r.err, `queue "emails" is declared by the file of owner "team-a"`, "override", "rate 5/1m")
	}
	var v queueView
	if b.decode(&v, "queue", "show", "emails"); v.Declared == nil || v.Declared.Rate != "5/1m" || value(v.Owner) != "team-a" {
		t.Errorf("%+v", v)
	}
	b.run("queue", "resume", "emails")
	if r := b.run("queue", "update", "emails", "--rate", "5/1m"); r.err != "" {
		t.Errorf("as the file has it again: %q", r.err)
	}
	b.must(b.Apply(b.ctx(), scheduler.Declaration{Owner: "team-a"}))
	r := b.run("queue", "resume", "emails")
	contains(t, r.err, "does not declare it any more")
	if r := b.run("queue", "update", "emails", "--handler", "sms"); !strings.Contains(r.err, `no live worker serves handler "sms"`) {
		t.Errorf("update to a handler that nobody serves: %q", r.err)
	}
	b.ok("queue", "remove", "emails", "--yes") // undeclared and empty: may go
}

func TestQueueTest(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.queue("demo", "echo", "10/1m:5")
	golden(t, "queue_test.txt", b.ok("queue", "test", "demo", "2500"))
	var v trialView
	b.decode(&v, "queue", "test", "demo", "3", "--payload", `{"sleep":"2s"}`)
	if v.Queue != "demo" || v.Submitted != 3 || !v.LastStart.After(*v.FirstStart) {
		t.Errorf("%+v", v)
	}
	for id, want := range map[string]string{v.FirstID: `{"sleep":"2s"}`, v.LastID: `{"sleep":"2s"}`} {
		if task, err := b.Task(b.ctx(), id); err != nil || string(task.Payload) != want {
			t.Errorf("task %s: %s %v", id, task.Payload, err)
		}
	}
	tasks, err := b.Tasks(b.ctx(), "demo", "waiting", 2503)
	b.must(err)
	if len(tasks) != 2503 || string(tasks[0].Payload) != `{"test":1}` || string(tasks[2499].Payload) != `{"test":2500}` {
		t.Errorf("%d tasks", len(tasks))
	}
	b.must(b.Pause(b.ctx(), "demo"))
	contains(t, b.ok("queue", "test", "demo", "1"), "starts when the queue is resumed")
}

func TestQueueJSON(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.worker("w1", map[string]int{"echo": 4})
	b.queue("limited", "echo", "10/60s:5")
	b.queue("unlimited", "nobody", "")
	b.submit("limited", "{}")
	golden(t, "queue_show.json", b.ok("queue", "show", "limited", "--json"))
	golden(t, "queue_show_unlimited.json", b.ok("queue", "show", "unlimited", "--json"))
	golden(t, "queue_show.txt", b.ok("queue", "show", "limited"))
	golden(t, "queue_list.txt", b.ok("queue", "list"))
	golden(t, "submit.json", b.ok("submit", "limited", "--json"))

	var list []json.RawMessage
	b.decode(&list, "queue", "list")
	if len(list) != 2 {
		t.Errorf("%d queues", len(list))
	}
}

func (b *bench) declare(owner, queue, rate string) {
	b.t.Helper()
	spec := scheduler.DefaultQueue("echo")
	if rate != "" {
		r, err := ratelimit.Parse(rate)
		b.must(err)
		spec.Rates = ratelimit.Rates{r}
	}
	b.must(b.Apply(b.ctx(), scheduler.Declaration{Owner: owner, Queues: map[string]scheduler.QueueSpec{queue: spec}}))
}

// lost tells whether a worker is known and its lease has ended.
func (b *bench) lost(id string, now time.Time) bool {
	workers, err := b.Workers(b.ctx())
	b.must(err)
	for _, w := range workers {
		if w.ID == id && !w.LeaseEnds.After(now) {
			return true
		}
	}
	return false
}

// waitUntil asks by the engine's clock until it is so.
func (b *bench) waitUntil(so func(now time.Time) bool) {
	b.t.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		now, err := b.Now(b.ctx())
		b.must(err)
		if so(now) {
			return
		}
	}
	b.t.Fatal("it does not come to that")
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
