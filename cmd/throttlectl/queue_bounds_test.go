package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/throttlerd/throttlerd/scheduler"
)

// A queue with all that bounds it, made and changed from the command line.
func TestQueueBounds(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.worker("w1", map[string]int{"http": 8})
	b.limit("github", "5000/1h:50", 0)
	b.limit("openai", "", 3)
	b.ok(strings.Fields("queue create 10/1s:4,300/15m:20 --name calls --limit github --limit openai --concurrency 8 --debt-max 2 " +
		"--key-rate 5/1s --key-concurrency 2 --exception acme:rate=50/1s:2+900/15m:20,weight=4 --exception host:8080:concurrency=1")...)
	q, err := b.Queue(b.ctx(), "calls")
	b.must(err)
	want := scheduler.DefaultQueue("http")
	want.Rates, want.Concurrency, want.DebtMax, want.Limits = ratesOf("10/1s:4,300/15m:20"), 8, 2, []string{"github", "openai"}
	want.Key = &scheduler.KeySpec{Rates: ratesOf("5/1s"), Concurrency: 2, Weight: 1}
	acme, four, one := ratesOf("50/1s:2,900/15m:20"), 4, 1
	want.Exceptions = map[string]scheduler.KeyRule{"acme": {Rates: &acme, Weight: &four}, "host:8080": {Concurrency: &one}}
	if !q.QueueSpec.Equal(want) {
		t.Errorf("created %+v, want %+v", q.QueueSpec, want)
	}
	for _, s := range []struct{ args, want string }{
		{"--limit github", "limits github, openai -> github"},
		{"--limit=", "limits github -> none"},
		{"--limit openai --limit github", "limits none -> openai, github"},
		{"--concurrency 0 --debt-max 0", "concurrency 8 -> none, debt-max 2 -> 0"},
		{"--key-weight 3", "key rate 5/1s, concurrency 2, weight 1 -> rate 5/1s, concurrency 2, weight 3"},
		{"--key-rate unlimited", "key rate 5/1s, concurrency 2, weight 3 -> rate unlimited, concurrency 2, weight 3"},
		{"--exception acme: --exception host:8080:weight=2", "exceptions acme: rate 50/1s:2, 900/15m:20, weight 4; host:8080: concurrency 1 -> host:8080: weight 2"},
		{"--exception host:8080:", "exceptions host:8080: weight 2 -> none"},
		{"--no-key", "key rate unlimited, concurrency 2, weight 3 -> none"},
		{"--rate 20/1s", "rate 10/1s:4, 300/15m:20 -> 20/1s"},
		{"--rate 20/1s", "as it was"},
	} {
		if got := b.ok(append([]string{"queue", "update", "calls"}, strings.Fields(s.args)...)...); got != "calls: "+s.want+"\n" {
			t.Errorf("update %s: %q, want %q", s.args, got, s.want)
		}
	}
	contains(t, b.ok("queue", "update", "calls", "--rate", "50/1s", "--for", "2h"), "calls: rate 20/1s -> 50/1s until ", ", then 20/1s")
	contains(t, b.ok("queue", "show", "calls"), "50/1s (one each 20ms) until ", ", then 20/1s", "last edit", "@")
	var v queueView
	if b.decode(&v, "queue", "show", "calls"); v.Override == nil || v.Override.Rate != "50/1s" || v.Override.Then != "20/1s" || v.LastEdit == nil {
		t.Errorf("%+v", v)
	}
	if got := b.ok("queue", "update", "calls", "--rate", "20/1s"); !strings.Contains(got, " -> 20/1s\n") {
		t.Errorf("for good again: %q", got)
	}
}

// Keys and costs, on the way in and when they are shown.
func TestKeysAndCosts(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.worker("w1", map[string]int{"http": 8})
	b.limit("github", "1/1h:50", 0)
	b.ok("queue", "create", "unlimited", "--name", "calls", "--limit", "github", "--key-rate", "1/1h:5", "--exception", "acme:rate=1/1h:9")
	for _, m := range []mistake{
		{"submit calls", 7, "invalid", "key"},
		{"submit calls --key acme --cost 10", 7, "invalid", "9"},
		{"submit calls --key globex --cost key=6", 7, "invalid", "5"},
		{"submit calls --key globex --cost github=51", 7, "invalid", "50"},
		{"queue test calls 2", 7, "invalid", "key"},
	} {
		b.mistakes([]mistake{m})
	}
	b.ok("submit", "calls", "--key", "acme", "--cost", "9,github=50", "--id", "first")
	b.ok("limit", "take", "github", "50")
	out := b.ok("submit", "calls", "--key", "globex", "--cost", "key=0", "--id", "second")
	contains(t, out, `second waiting`, `limit "github"`)
	b.ok("queue", "test", "calls", "2", "--key", "acme")
	var task taskView
	if b.decode(&task, "task", "show", "first"); task.Cost != 9 || task.Costs["github"] != 50 || task.Position == nil {
		t.Errorf("%+v", task)
	}
	contains(t, b.ok("task", "show", "first"), "cost", "9,github=50", "position")
	var q queueView
	if b.decode(&q, "queue", "show", "calls"); q.ActiveKeys != 2 || q.Key == nil || *q.Exceptions["acme"].Rate != "1/1h:9" || len(q.Limits) != 1 {
		t.Errorf("%+v", q)
	}
}

// What a queue refuses of a line is told with its line, before anything is submitted.
func TestFileForAQueueOfKeys(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.worker("w1", map[string]int{"http": 8})
	b.limit("github", "1/1h:50", 0)
	b.ok("queue", "create", "unlimited", "--name", "calls", "--limit", "github", "--key-rate", "1/1h:5")
	file := filepath.Join(t.TempDir(), "lines.jsonl")
	for _, s := range []struct {
		lines []string
		flags []string
		says  []string
	}{
		{lines: []string{`{"n":1}`, `{"n":2}`}, says: []string{"line 1", "key"}},
		{lines: []string{`{"payload":1,"key":"a"}`, `{"payload":2}`}, flags: []string{"--envelope"}, says: []string{"line 2", "key"}},
		{lines: []string{`{"payload":1,"key":"a"}`, `{"payload":2,"key":"a","cost":6}`}, flags: []string{"--envelope"}, says: []string{"line 2", "5"}},
		{lines: []string{`{"payload":1,"key":"a"}`, `{"payload":2,"key":"a","cost":{"github":51}}`}, flags: []string{"--envelope"}, says: []string{"line 2", "50"}},
		{lines: []string{`{"payload":1,"key":"a","cost":"1"}`}, flags: []string{"--envelope"}, says: []string{"line 1", `"cost" must be a whole number`}},
	} {
		b.must(os.WriteFile(file, []byte(strings.Join(s.lines, "\n")), 0o600))
		r := b.run(append([]string{"submit", "calls", "--file", file}, s.flags...)...)
		if r.code != 7 || r.out != "" {
			t.Errorf("%q: %+v", s.lines, r)
		}
		contains(t, r.err, s.says...)
		if q, err := b.Queue(b.ctx(), "calls"); err != nil || q.Waiting > 0 {
			t.Errorf("%q: %d are in, %v", s.lines, q.Waiting, err)
		}
	}
	b.must(os.WriteFile(file, []byte(`{"payload":1,"key":"a","cost":5}`+"\n"+`{"payload":2,"key":"b","cost":{"github":7,"key":0}}`), 0o600))
	contains(t, b.ok("submit", "calls", "--file", file, "--envelope"), "SUBMITTED", "2")
	tasks, err := b.Tasks(b.ctx(), "calls", "waiting", 9)
	b.must(err)
	if len(tasks) != 2 || tasks[0].Cost != 5 || tasks[1].Costs["github"] != 7 {
		t.Errorf("%+v", tasks)
	}
}

// A line that only the submit itself refuses is named too, with what is in.
func TestFileRefusedHalfWay(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.limit("github", "1/1h:2", 0)
	b.ok("limit", "set", "github", "--rate", "1/1h:50", "--for", "1h") // 10 tokens would come after that hour only
	b.ok("limit", "reset", "github")
	b.ok("limit", "take", "github", "50")
	b.run("queue", "create", "unlimited", "--name", "calls", "--handler", "http", "--limit", "github")
	file := filepath.Join(t.TempDir(), "lines.jsonl")
	for lines, says := range map[string]string{
		`{"payload":1}` + "\n" + `{"payload":2,"cost":{"github":10}}`: "line 2: cost 10 is more than",
		`{"payload":3,"cost":{"github":10}}`:                          "line 1: cost 10 is more than",
	} {
		b.must(os.WriteFile(file, []byte(lines), 0o600))
		r := b.run("submit", "calls", "--file", file, "--envelope")
		if r.code != 7 {
			t.Errorf("%+v", r)
		}
		contains(t, r.err, says, "0 of ", "--resume")
	}
}
