package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/scheduler"
)

func TestSubmit(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.queue("emails", "smtp", "10/1m:2")
	file := filepath.Join(t.TempDir(), "letter.json")
	b.must(os.WriteFile(file, []byte("{\"from\": \"file\"}\n"), 0o600))
	at := time.Now().Add(90 * time.Minute).Truncate(time.Second)

	steps := []struct {
		stdin   string
		args    []string
		payload string
		state   string
		says    string
	}{
		{"", nil, `{}`, "waiting", "waiting, position 0, can start now"},
		{"", []string{`{"a": 1}`}, `{"a": 1}`, "waiting", "waiting, position 0, can start now"},
		{"\n[1,\n2]\n", []string{"-"}, "[1,\n2]", "waiting", "waiting, position 1, can start in about"},
		{"", []string{"@" + file}, `{"from": "file"}`, "waiting", "position 2"},
		{"", []string{`"x"`, "--in", "1h"}, `"x"`, "scheduled", "scheduled, starts at"},
		{"", []string{"--in", "0s"}, `{}`, "waiting", "position 3"},
		{"", []string{"--at", at.Format(time.RFC3339), "--id", "late", "--type", "letter", "--key", "acme", "--header", "a=1=2", "--header", "b="}, `{}`, "scheduled", "late scheduled"},
	}
	for _, s := range steps {
		r := b.pipe(s.stdin, append([]string{"submit", "emails"}, s.args...)...)
		if r.code != 0 || r.err != "" || strings.Count(r.out, "\n") != 1 || !strings.Contains(r.out, s.says) {
			t.Errorf("%q: exit %d, %q %s", s.args, r.code, r.out, r.err)
			continue
		}
		id := strings.Fields(r.out)[0]
		task, err := b.Task(b.ctx(), id)
		if err != nil || string(task.Payload) != s.payload || task.State != s.state {
			t.Errorf("%q: %+v %v", s.args, task, err)
		}
	}
	task, err := b.Task(b.ctx(), "late")
	b.must(err)
	if task.Type != "letter" || task.Key != "acme" || task.Headers["a"] != "1=2" || len(task.Headers) != 2 || !task.At.Equal(at) {
		t.Errorf("%+v", task)
	}
	b.must(b.Pause(b.ctx(), "emails"))
	contains(t, b.ok("submit", "emails"), "position 4, starts when the queue is resumed")
	var r receiptView
	if b.decode(&r, "submit", "emails"); r.EarliestStart != nil {
		t.Errorf("earliest start of a paused queue: %v", r.EarliestStart)
	}
}

// history makes one task in each state and returns the worker that ran them.
func (b *bench) history() {
	b.t.Helper()
	b.queue("emails", "smtp", "")
	w := b.worker("w1", map[string]int{"smtp": 8})
	for _, id := range []string{"done", "dead", "running", "waiting", "cancelled"} {
		_, err := b.Submit(b.ctx(), scheduler.SubmitRequest{Queue: "emails", ID: id, Type: "letter", Key: "acme",
			Headers: map[string]string{"trace": "abc"}, Payload: []byte(`{"n":12345678901234567890}`)})
		b.must(err)
	}
	_, err := b.Submit(b.ctx(), scheduler.SubmitRequest{Queue: "emails", ID: "scheduled", Payload: []byte("\x1b[2Jnot JSON"), In: time.Hour})
	b.must(err)
	g := b.claim(w, "smtp", 3)
	if len(g) != 3 {
		b.t.Fatalf("%d granted", len(g))
	}
	b.settle(w, g[0], scheduler.Done, `{"sent":true}`, 0)
	b.settle(w, g[1], scheduler.Dead, "550 no such user\nof that name", 0)
	_, err = b.Cancel(b.ctx(), "cancelled")
	b.must(err)
}

func TestTasks(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if got := b.ok("task", "list", "--json"); got != "[]\n" {
		t.Errorf("no tasks: %q", got)
	}
	if r := b.run("task", "list"); r.code != 0 || r.out != "" || r.err != "No such tasks.\n" {
		t.Errorf("no tasks: %+v", r)
	}
	b.history()
	b.queue("other", "smtp", "")
	b.submit("other", "{}")

	for _, id := range []string{"done", "dead", "running", "scheduled"} {
		golden(t, "task_"+id+".json", b.ok("task", "show", id, "--json"))
		golden(t, "task_"+id+".txt", b.ok("task", "show", id))
	}
	golden(t, "task_list.txt", b.ok("task", "list"))

	states := func(args ...string) string {
		var list []taskView
		b.decode(&list, append([]string{"task", "list"}, args...)...)
		var words []string
		for _, v := range list {
			words = append(words, v.Queue+"/"+v.State)
		}
		return strings.Join(words, " ")
	}
	const emails = "emails/running emails/waiting emails/scheduled emails/dead emails/done emails/cancelled"
	for args, want := range map[string]string{
		"":                             emails + " other/waiting",
		"-q emails":                    emails,
		"-q other":                     "other/waiting",
		"--state waiting":              "emails/waiting other/waiting",
		"--state done":                 "emails/done",
		"--state expired":              "",
		"-q emails --state cancelled":  "emails/cancelled",
		"-q emails --limit 3":          "emails/running emails/waiting emails/scheduled",
		"--state waiting --limit 1":    "emails/waiting",
		"-q other --state dead":        "",
		"-q emails --limit 6":          emails,
		"--queue emails --state  dead": "emails/dead",
	} {
		if got := states(strings.Fields(args)...); got != want {
			t.Errorf("task list %s: %s, want %s", args, got, want)
		}
	}
	r := b.run("task", "list", "--limit", "2")
	if strings.Count(r.out, "\n") != 3 || !strings.Contains(r.err, "these are the first 2") {
		t.Errorf("cut list: %+v", r)
	}
	if r := b.run("task", "list", "-q", "emails", "--limit", "6"); r.err != "" {
		t.Errorf("a list that is just whole: %q", r.err)
	}

	for _, s := range []struct{ verb, id, says, was, result string }{
		{"cancel", "running", "running: its worker has been asked to stop it\n", "running", "stop_requested"},
		{"cancel", "waiting", "waiting: cancelled; it was waiting\n", "", ""},
		{"retry", "dead", "dead: waits for its turn; it was dead\n", "", ""},
		{"retry", "scheduled", "scheduled: waits for its turn; it was scheduled\n", "", ""},
		{"cancel", "dead", "", "waiting", "cancelled"},
	} {
		if s.says != "" {
			if got := b.ok("task", s.verb, s.id); got != s.says {
				t.Errorf("%s %s: %q", s.verb, s.id, got)
			}
		}
		if s.result != "" {
			var v steeredView
			if b.decode(&v, "task", s.verb, s.id); v != (steeredView{s.id, s.was, s.result}) {
				t.Errorf("%s %s: %+v", s.verb, s.id, v)
			}
		}
	}
	if r := b.run("task", "cancel", "done"); r.code != 4 {
		t.Errorf("cancel of a done task: %+v", r)
	}
}

// What others wrote into a task cannot steer the terminal of who looks at it, and does
// not flood it.
func TestTaskTextIsHarmless(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.queue("emails", "smtp", "")
	evil := "\x1b]0;owned\a\u009b2J\u202e\xff\x7f"
	_, err := b.Submit(b.ctx(), scheduler.SubmitRequest{Queue: "emails", ID: "evil", Type: evil, Key: evil,
		Headers: map[string]string{"h" + evil: evil}, Payload: []byte(`"` + "\u009b2J\u202e\xff\x7f" + `"`)})
	b.must(err)
	_, err = b.Submit(b.ctx(), scheduler.SubmitRequest{Queue: "emails", ID: "long", Payload: []byte(`"` + strings.Repeat("ä", 5000) + `"`)})
	b.must(err)
	for _, args := range [][]string{
		{"task", "show", "evil"}, {"task", "list"}, {"task", "show", "evil", "--json"}, {"task", "list", "--json"},
	} {
		out := b.ok(args...)
		if i := strings.IndexFunc(out, func(r rune) bool { return r != '\n' && (r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x202e) }); i >= 0 {
			t.Errorf("%q prints %q", args, out[i:min(i+8, len(out))])
		}
		if args[len(args)-1] == "--json" && !json.Valid([]byte(out)) {
			t.Errorf("%q prints no JSON:\n%s", args, out)
		}
	}
	out := b.ok("task", "show", "long")
	if len(out) > 3000 || !strings.Contains(out, "… (10002 bytes in all; --json prints them)") {
		t.Errorf("%d bytes: %s", len(out), out[len(out)-100:])
	}
	var whole struct{ Payload string }
	if b.decode(&whole, "task", "show", "long"); len(whole.Payload) != 10000 {
		t.Errorf("--json has %d bytes", len(whole.Payload))
	}
}

func TestWorkers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if got := b.ok("worker", "list", "--json"); got != "[]\n" {
		t.Errorf("no workers: %q", got)
	}
	if r := b.run("worker", "list"); r.code != 0 || r.out != "" || !strings.Contains(r.err, "No workers") {
		t.Errorf("no workers: %+v", r)
	}
	b.history() // w1 runs one task
	golden(t, "worker_list.json", b.ok("worker", "list", "--json"))
	golden(t, "worker_list.txt", b.ok("worker", "list"))

	b.register(scheduler.Worker{ID: "a-lost-one", Slots: map[string]int{"sms": 1, "fax": 2}, Pools: []string{"default", "slow"}, Lease: time.Millisecond})
	b.waitUntil(func(now time.Time) bool { return b.lost("a-lost-one", now) })
	var list []workerView
	b.decode(&list, "worker", "list")
	byID := map[string]workerView{}
	for _, w := range list {
		byID[w.ID] = w
	}
	lost := byID["a-lost-one"]
	if lost.Live || lost.Pool != "default,slow" || lost.Slots != 3 || fmt.Sprint(lost.Handlers) != "[fax sms]" || !byID["w1"].Live {
		t.Errorf("%+v", list)
	}
	contains(t, b.ok("worker", "list"), "fax 2, sms 1", "lost")
}
