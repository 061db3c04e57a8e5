package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/throttlerd/throttlerd/scheduler"
)

// dead makes n dead tasks, whose errors alternate between two.
func (b *bench) dead(s *scheduler.Session, queue string, n int) {
	b.t.Helper()
	for i := range n {
		_, err := b.Submit(b.ctx(), scheduler.SubmitRequest{Queue: queue, ID: fmt.Sprintf("%s-%02d", queue, i), Payload: []byte("{}")})
		b.must(err)
	}
	for i, g := range b.claim(s, "smtp", n) {
		b.settle(s, g, scheduler.Dead, []string{"dial tcp: connection refused", "HTTP 500\nbody \x1b[2J"}[i%2], 0)
	}
}

func (b *bench) count(queue string) (waiting, dead int64) {
	b.t.Helper()
	q, err := b.Queue(b.ctx(), queue)
	b.must(err)
	return q.Waiting, q.Dead
}

func TestDead(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if r := b.run("dead", "list"); r.code != 0 || r.out != "" || r.err != "No dead tasks.\n" {
		t.Errorf("%+v", r)
	}
	b.queue("emails", "smtp", "")
	b.queue("letters", "smtp", "")
	s := b.worker("w1", map[string]int{"smtp": 64})
	b.dead(s, "emails", 6)
	b.dead(s, "letters", 4)
	golden(t, "dead_list.txt", b.ok("dead", "list"))
	var tasks []taskView
	b.decode(&tasks, "dead", "list", "-q", "letters", "--error", "refused")
	if len(tasks) != 2 || tasks[0].ID != "letters-00" || tasks[1].ID != "letters-02" || tasks[0].State != "dead" {
		t.Errorf("%+v", tasks)
	}
	r := b.run("dead", "list", "--limit", "3")
	contains(t, r.err, "There are more; these are the first 3")
	if n := strings.Count(r.out, "\n"); n != 4 {
		t.Errorf("%d lines\n%s", n, r.out)
	}
	r = b.run("dead", "list", "--error", "no such")
	contains(t, r.err, "None of 10 dead tasks matches.")

	check := func(out, want, queue string, waiting, dead int64) {
		t.Helper()
		w, d := b.count(queue)
		if out != want || w != waiting || d != dead {
			t.Errorf("%q, want %q; queue %s: %d wait, %d are dead, want %d and %d", out, want, queue, w, d, waiting, dead)
		}
	}
	check(b.ok("dead", "retry", "emails-00", "emails-03"), "2 dead tasks retried\n", "emails", 2, 4)
	check(b.ok("dead", "retry", "--error", "^HTTP 5", "-q", "emails"), "2 dead tasks retried\n", "emails", 4, 2)
	check(b.ok("dead", "delete", "emails-02", "--yes"), "1 dead task deleted\n", "emails", 4, 1)
	check(b.ok("--json", "dead", "retry", "--all"), "{\n  \"retried\": 5\n}\n", "letters", 4, 0)
	check(b.ok("dead", "retry", "--all"), "0 dead tasks retried\n", "emails", 5, 0)
	check(b.ok("dead", "delete", "--all", "-q", "emails"), "0 dead tasks deleted\n", "emails", 5, 0)

	grants := b.claim(s, "smtp", 9)
	for _, g := range grants {
		b.settle(s, g, scheduler.Dead, "no", 0)
	}
	if len(grants) != 9 {
		t.Fatalf("%d retried tasks run", len(grants))
	}
	r = b.run("dead", "delete", "--error", "^no$", "-q", "emails")
	if _, dead := b.count("emails"); r.code != 4 || dead != 5 {
		t.Errorf("exit %d, %d are dead", r.code, dead)
	}
	contains(t, r.err, `this would delete 5 dead tasks of queue "emails" whose error matches "^no$"`, "'^no$' -q emails --yes")
	check(b.ok("--json", "dead", "delete", "--all", "--yes"), "{\n  \"deleted\": 9\n}\n", "emails", 0, 0)
}

func TestDeadMistakes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.queue("emails", "smtp", "")
	s := b.worker("w1", map[string]int{"smtp": 64})
	b.dead(s, "emails", 2)
	b.mistakes([]mistake{
		{"dead retry", 2, "usage", "which dead tasks? give their ids, --all or --error"},
		{"dead delete", 2, "usage", "which dead tasks?"},
		{"dead retry -q emails", 2, "usage", `which dead tasks of queue "emails"? give --all or --error`},
		{"dead retry emails-00 --all", 2, "usage", "task ids exclude --all"},
		{"dead retry emails-00 -q emails", 2, "usage", "task ids exclude"},
		{"dead retry --error (", 2, "usage", "is no regular expression: error parsing regexp: missing closing )"},
		{"dead list --error (", 2, "usage", "is no regular expression"},
		{"dead list --limit 0", 2, "usage", "--limit 0 must be 1 to 1000"},
		{"dead list now", 2, "usage", "too many arguments"},
		{"dead list -q Emails", 2, "usage", "is not a name"},
		{"dead list -q emials", 3, "not_found", `did you mean "emails"?`},
		{"dead retry --all -q emials", 3, "not_found", `did you mean "emails"?`},
		{"dead delete --all -q emials --yes", 3, "not_found", `did you mean "emails"?`},
		{"dead retry nope", 3, "not_found", `no task "nope"`},
		{"dead delete emails-00 nope --yes", 3, "not_found", `nothing was done: no task "nope"`},
		{"dead delete emails-00", 4, "conflict", "this would delete 1 dead task; to do it, type: "},
		{"dead delete --all", 4, "conflict", "this would delete 2 dead tasks"},
	})
	b.ok("dead", "retry", "emails-00")
	b.mistakes([]mistake{
		{"dead retry emails-00", 4, "conflict", `task "emails-00" is waiting, not dead`},
		{"dead retry emails-01 emails-00", 4, "conflict", `nothing was done: task "emails-00" is waiting`},
		{"dead delete emails-00 --yes", 4, "conflict", "is waiting, not dead"},
	})
	if _, dead := b.count("emails"); dead != 1 {
		t.Errorf("%d are dead", dead)
	}
}
