package main

import (
	"strings"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/scheduler"
)

// explained is task explain --json.
func (b *bench) explained(id string) explainView {
	b.t.Helper()
	var v explainView
	b.decode(&v, "task", "explain", id)
	return v
}

// What holds a task up is said in a word, a sentence and a command that does help.
func TestTaskExplain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.queue("emails", "smtp", "1/1h")
	for _, id := range []string{"order-1", "order-2", "order-3"} {
		_, err := b.Submit(b.ctx(), scheduler.SubmitRequest{Queue: "emails", ID: id, Payload: []byte("{}")})
		b.must(err)
	}
	check := func(id, reason string, says ...string) explainView {
		t.Helper()
		text, v := b.ok("task", "explain", id), b.explained(id)
		if v.Reason != reason || v.ID != id || !strings.Contains(text, "\nreason ") {
			t.Errorf("%+v\n%s", v, text)
		}
		contains(t, text, says...)
		for _, s := range v.Steps {
			contains(t, text, s.To+": "+s.Command+"\n")
		}
		return v
	}
	// type runs the first command that task explain proposes.
	run := func(v explainView) {
		t.Helper()
		if len(v.Steps) == 0 {
			t.Fatalf("no command: %+v", v)
		}
		b.ok(strings.Fields(v.Steps[0].Command)[1:]...)
	}
	b.must(b.Pause(b.ctx(), "emails"))
	v := check("order-1", "paused", "Its queue is paused.", "To start the queue: throttlectl queue resume emails")
	if v.State != "waiting" || *v.Position != 0 || v.EarliestStart != nil || v.Limit != nil {
		t.Errorf("%+v", v)
	}
	run(v)
	v = check("order-1", "no_worker", `No live worker serves handler "smtp"; no worker is alive.`, "To start a worker: throttlerd run")
	s := b.worker("w1", map[string]int{"smtp": 8})
	v = check("order-1", "ready", "Nothing holds it up", "can start  now")
	if v.EarliestStart == nil || v.LatestStart == nil {
		t.Errorf("%+v", v)
	}
	b.must(s.Announce(b.ctx(), func(w *scheduler.Worker) {
		w.Down, w.States = []string{"smtp"}, []scheduler.HandlerState{{Handler: "smtp", Processes: []scheduler.ProcessState{{Phase: "failing"}}, LastError: "exited with code 3"}}
	}))
	run(check("order-1", "plugin_down", `Handler "smtp" is down on 1 live worker that could run it: failing: exited with code 3.`))
	b.must(s.Announce(b.ctx(), func(w *scheduler.Worker) { w.Down, w.States = nil, nil }))

	g := b.claim(s, "smtp", 1)
	v = check("order-1", "running", "It has run on worker w1 for ", "; it times out in ")
	if v.Worker == nil || *v.Worker != "w1" || v.RunningSeconds == nil || v.TimeoutAt.Sub(*v.StartedAt) != 30*time.Second || v.Attempts != 1 || v.MaxAttempts != 5 {
		t.Errorf("%+v", v)
	}
	b.settle(s, g[0], scheduler.Done, `{"sent":true}`, 0)
	v = check("order-1", "done", "It was done ", "on worker w1; its result has 13 bytes.", "To see the result: throttlectl task show order-1")
	if v.ResultBytes == nil || *v.ResultBytes != 13 || v.EndedAt == nil || v.RunningSeconds != nil {
		t.Errorf("%+v", v)
	}
	golden(t, "task_explain_rate.txt", b.ok("task", "explain", "order-3"))
	v = check("order-3", "rate", "Held up by queue: needs 1 token, has 0, may go on in ", "1 task before it")
	if *v.Limit != "queue" || *v.Unit != "token" || *v.Need != 1 || *v.Have != 0 || *v.Position != 1 || v.EarliestStart == nil || !v.LatestStart.Equal(*v.EarliestStart) || len(v.RestsOn) != 3 {
		t.Errorf("%+v", v)
	}

	// one that fails, waits, and dies
	b.queue("calls", "smtp", "")
	_, err := b.Submit(b.ctx(), scheduler.SubmitRequest{Queue: "calls", ID: "call-1", Payload: []byte("{}")})
	b.must(err)
	b.settle(s, b.claim(s, "smtp", 1)[0], scheduler.RetryIn, "503 busy", (time.Hour).Microseconds())
	v = check("call-1", "scheduled", "Its last run failed; the next starts in ", "last error  503 busy", "attempts    1 of 5")
	if v.LatestStart != nil || v.EarliestStart == nil || *v.LastError != "503 busy" {
		t.Errorf("%+v", v)
	}
	b.must(b.Pause(b.ctx(), "calls"))
	check("call-1", "scheduled", "As things stand it waits then, for its queue is paused.", "throttlectl task retry call-1", "throttlectl queue resume calls")
	b.must(b.Resume(b.ctx(), "calls"))
	run(v)
	check("call-1", "ready")
	b.settle(s, b.claim(s, "smtp", 1)[0], scheduler.Dead, "550 no such user", 0)
	golden(t, "task_explain_dead.txt", b.ok("task", "explain", "call-1"))
	golden(t, "task_explain_dead.json", b.ok("task", "explain", "call-1", "--json"))
	v = check("call-1", "dead", "To run it again, with all its attempts: throttlectl task retry call-1")
	run(v)
	b.ok("task", "cancel", "call-1")
	v = check("call-1", "cancelled", "It was cancelled ")
	if len(v.Steps) != 0 {
		t.Errorf("%+v", v)
	}

	b.mistakes([]mistake{
		{"task explain", 2, "usage", "argument ID is missing"},
		{"task explain nosuch", 3, "not_found", `no task "nosuch" in namespace "throttle"`},
		{"task explain a b", 2, "usage", "too many arguments"},
	})
}

// Under limits the range says what it rests on, and the commands are of the limit.
func TestTaskExplainLimits(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.worker("w1", map[string]int{"smtp": 8})
	b.ok("limit", "set", "github", "--rate", "1/1h", "--concurrency", "1")
	for _, q := range []string{"a", "b"} {
		b.ok("queue", "create", "unlimited", "--name", q, "--handler", "smtp", "--limit", "github")
		b.submit(q, "{}")
	}
	b.ok("queue", "pause", "b")
	if g := b.claim(s, "smtp", 1); len(g) != 1 {
		t.Fatalf("%+v", g)
	}
	r := b.submit("a", "{}")
	v := b.explained(r.ID)
	if v.Reason != "concurrency" || *v.Limit != `limit "github"` || *v.Unit != "place" || *v.Have != 0 || v.Steps[1].Command != "throttlectl limit set github --concurrency N" {
		t.Errorf("%+v", v)
	}
	b.ok("limit", "set", "github", "--concurrency", "0")
	v = b.explained(r.ID)
	if v.Reason != "limit" || v.Steps[0].Command != "throttlectl limit show github" || v.EarliestStart == nil || v.LatestStart == nil {
		t.Errorf("%+v", v)
	}
	golden(t, "task_explain_limit.txt", b.ok("task", "explain", r.ID))
	b.ok(strings.Fields(v.Steps[0].Command)[1:]...)
}

// A receipt does not say that a task can start now when it lacks a place.
func TestReceiptWithoutAPlace(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.worker("w1", map[string]int{"smtp": 8})
	b.ok("queue", "create", "unlimited", "--name", "one", "--handler", "smtp", "--concurrency", "1")
	b.submit("one", "{}")
	b.claim(s, "smtp", 1)
	contains(t, b.ok("submit", "one", "{}"), "waiting, position 0, starts when a place is free; queue: needs 1 place, has 0")
}

// A worker of other queues is not said to be missing by the name of its handler.
func TestExplainWorkersOfOtherQueues(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.queue("mail", "smtp", "")
	b.queue("other", "smtp", "")
	_, err := b.Register(b.ctx(), scheduler.Worker{
		ID: "w1", Slots: map[string]int{"smtp": 8}, Pools: []string{"default"}, Queues: []string{"other"}, Lease: time.Minute, Started: time.Now(),
	})
	b.must(err)
	r := b.submit("mail", "{}")
	contains(t, b.ok("task", "explain", r.ID), "reason    no_worker", `Those live workers that serve handler "smtp" serve other queues only.`, "To start a worker: throttlerd run")
}
