package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/scheduler"
)

func (b *bench) names() []string {
	b.t.Helper()
	queues, err := b.Queues(b.ctx())
	b.must(err)
	var out []string
	for _, q := range queues {
		out = append(out, q.Name)
	}
	return out
}

func TestQueueCleanup(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if r := b.run("queue", "cleanup", "--empty"); r.code != 0 || r.err != "No queue to remove in namespace \"throttle\".\n" {
		t.Errorf("%+v", r)
	}
	for _, name := range []string{"dead", "empty-1", "empty-2", "running", "scheduled", "used", "waiting"} {
		b.queue(name, "smtp", "")
	}
	b.must(b.Apply(b.ctx(), scheduler.Declaration{Owner: "team", Queues: map[string]scheduler.QueueSpec{"declared": scheduler.DefaultQueue("smtp")}}))
	s := b.worker("w1", map[string]int{"smtp": 64})
	for queue, kind := range map[string]string{"used": scheduler.Done, "dead": scheduler.Dead, "running": ""} {
		b.submit(queue, "{}")
		if g := b.claim(s, "smtp", 1)[0]; kind != "" {
			b.settle(s, g, kind, "", 0)
		}
	}
	b.submit("waiting", "{}")
	_, err := b.Submit(b.ctx(), scheduler.SubmitRequest{Queue: "scheduled", In: time.Hour})
	b.must(err)

	r := b.run("queue", "cleanup", "--empty", "--dry-run")
	golden(t, "queue_cleanup_dry.txt", r.out)
	contains(t, r.err, "Note: 1 queue is declared by a configuration file; it stays")
	r = b.run("queue", "cleanup", "--empty")
	if r.code != 4 || len(b.names()) != 8 {
		t.Errorf("exit %d, left: %q", r.code, b.names())
	}
	contains(t, r.err, "nothing was done: this would remove 3 queues; to do it, type: throttlectl")
	r = b.run("queue", "cleanup", "--empty", "--yes")
	golden(t, "queue_cleanup_empty.txt", r.out)
	if left := strings.Join(b.names(), " "); r.code != 0 || left != "dead declared running scheduled waiting" {
		t.Errorf("exit %d, left: %s", r.code, left)
	}
	r = b.run("queue", "cleanup", "--all")
	contains(t, r.err, "this would remove 4 queues with 4 tasks")
	r = b.run("--json", "queue", "cleanup", "--all", "--dry-run")
	contains(t, r.out, `"queue": "dead"`, `"dead": 1`, `"removed": false`)
	r = b.run("--json", "queue", "cleanup", "--all", "--yes")
	contains(t, r.out, `"queue": "running"`, `"running": 1`, `"removed": true`)
	if left := b.names(); r.code != 0 || !slices.Equal(left, []string{"declared"}) {
		t.Errorf("exit %d, left: %q", r.code, left)
	}
	b.mistakes([]mistake{
		{"queue cleanup", 2, "usage", "queue cleanup needs either --empty or --all"},
		{"queue cleanup --empty --all", 2, "usage", "needs either"},
		{"queue cleanup --empty x", 2, "usage", "too many arguments"},
	})
}

// A person sees the list before the question.
func TestQueueCleanupAsks(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.queue("a", "smtp", "")
	for _, answer := range []string{"n\n", "y\n"} {
		var out, text strings.Builder
		a := newApp([]string{"--redis-url", b.server.URL(), "queue", "cleanup", "--empty"}, strings.NewReader(answer), &out, &text)
		a.interactive = true
		code := a.run()
		contains(t, out.String(), "QUEUE  WAITING", "a      0")
		contains(t, text.String(), "Remove 1 queue? [y/N] ")
		if gone := len(b.names()) == 0; gone != (answer == "y\n") || gone != (code == 0) {
			t.Errorf("%q: exit %d, left: %q", answer, code, b.names())
		}
	}
}

func TestExpireAfter(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.run("queue", "create", "1/1s", "--name", "q", "--handler", "smtp", "--expire-after", "90m")
	var v struct {
		ExpireAfter *float64 `json:"expire_after_seconds"`
	}
	b.decode(&v, "queue", "show", "q")
	if v.ExpireAfter == nil || *v.ExpireAfter != 5400 {
		t.Errorf("%v", v.ExpireAfter)
	}
	contains(t, b.ok("queue", "show", "q"), "expires", "1h30m after its last task, once its bucket is full")
	if out := b.ok("queue", "update", "q", "--expire-after", "2d"); out != "q: expire-after 1h30m -> 2d\n" {
		t.Error(out)
	}
	if out := b.ok("queue", "update", "q", "--expire-after", "never"); out != "q: expire-after 2d -> never\n" {
		t.Error(out)
	}
	b.decode(&v, "queue", "show", "q")
	if v.ExpireAfter != nil {
		t.Errorf("%v", *v.ExpireAfter)
	}
	contains(t, b.ok("--json", "queue", "list"), `"expire_after_seconds": null`)
	b.mistakes([]mistake{
		{"queue update q --expire-after soon", 2, "usage", `--expire-after: "soon" is not a duration`},
		{"queue update q --expire-after 10", 2, "usage", `did you mean "10s"?`},
		{"queue update q --expire-after 10ms", 2, "usage", "expire_after must be 1s to 366d, or 0 for never"},
		{"queue create 1/1s --handler smtp --expire-after 400d", 2, "usage", "expire_after must be"},
	})
}
