package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/throttlerd/throttlerd/scheduler"
)

// TestMistakes is every way to be refused: the exit code, the word for programs, and
// the part of the message that helps. Each runs as text and with --json.
func TestMistakes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.queue("emails", "smtp", "10/1m:5")
	b.queue("full", "smtp", "")
	b.submit("full", "{}")
	b.must(b.Apply(b.ctx(), scheduler.Declaration{Owner: "team-a", Queues: map[string]scheduler.QueueSpec{"declared": scheduler.DefaultQueue("smtp")}}))
	_, err := b.Submit(b.ctx(), scheduler.SubmitRequest{Queue: "emails", ID: "taken", Payload: []byte("{}")})
	b.must(err)
	dir := t.TempDir()
	badFile := filepath.Join(dir, "bad.hcl")
	b.must(os.WriteFile(badFile, []byte("namespac = \"x\"\n"), 0o600))

	mistakes := []struct {
		args string // words; • stands for a space inside one
		code int
		word string
		says string
	}{
		{"", 2, "usage", "a command is needed: throttlectl completion|dead|doctor|handler|limit|monitor|queue|submit|task|version|worker"},
		{"quue", 2, "usage", `unknown command "quue" for "throttlectl"; did you mean "queue"?`},
		{"queue", 2, "usage", "create|list|pause"},
		{"queue lst", 2, "usage", `did you mean "list"?`},
		{"doctro", 2, "usage", `did you mean "doctor"?`},
		{"dead", 2, "usage", "delete|list|retry"},
		{"task explian x", 2, "usage", `did you mean "explain"?`},
		{"help frob", 2, "usage", `no command "frob"`},
		{"completion tcsh", 2, "usage", "unknown command"},
		{"completion bash x", 2, "usage", "too many arguments"},
		{"queue list --forse", 2, "usage", "unknown flag: --forse"},
		{"queue remove emails --forse", 2, "usage", "did you mean --force?"},
		{"queue list -z", 2, "usage", "unknown shorthand flag"},
		{"queue list now", 2, "usage", "too many arguments; usage: throttlectl queue list"},
		{"queue show", 2, "usage", "argument NAME is missing; usage: throttlectl queue show NAME"},
		{"submit", 2, "usage", "argument QUEUE is missing"},
		{"queue test emails", 2, "usage", "argument COUNT is missing"},
		{"--timeout 5 queue list", 2, "usage", `did you mean "5s"?`},
		{"--timeout 0s queue list", 2, "usage", "must be more than 0"},
		{"--namespace A queue list", 2, "usage", `did you mean "a"?`},
		{"--redis-url http://x queue list", 2, "usage", "not an address of Redis"},

		{"queue create 10/x --handler smtp", 2, "usage", `rate "10/x": unit "x" must be one of ms, s, m, h, d`},
		{"queue create 0/1s --handler smtp", 2, "usage", `rate "0/1s"`},
		{"queue create 1/1s --handler Smtp", 2, "usage", "handler"},
		{"queue create 1/1s --handler smtp --name a/b", 2, "usage", `queue "a/b" is not a name`},
		{"queue create 1/1s --handler smtp --name=", 2, "usage", "not a name"},
		{"queue create 1/1s --handler smtp --jitter 2", 2, "usage", "jitter must be 0 to 1"},
		{"queue create 1/1s --handler smtp --history ten", 2, "usage", `--history "ten" is not a whole number`},
		{"queue create 1/1s --handler smtp --jitter some", 2, "usage", `--jitter "some" is not a number`},
		{"queue create 1/1s --handler smtp --timeout 0s", 2, "usage", "timeout must be 1ms to 366d"},
		{"queue create 1/1s", 2, "usage", "no live worker of pool \"default\" announces a handler"},
		{"queue create 1/1s --handler smtp --name emails", 4, "conflict", `queue "emails" exists`},
		{"queue show emials", 3, "not_found", `no queue "emials" in namespace "throttle"; did you mean "emails"?`},
		{"queue show No", 2, "usage", "is not a name"},
		{"queue update emails", 2, "usage", "changes nothing: give at least one of --rate"},
		{"queue update emails --rate 1", 2, "usage", `rate "1"`},
		{"queue update emails --retry-min 1h", 2, "usage", "retry max must be at least min"},
		{"queue update emials --rate 1/1s", 3, "not_found", "did you mean"},
		{"queue pause emials", 3, "not_found", "did you mean"},
		{"queue resume emials", 3, "not_found", "did you mean"},
		{"queue purge emials", 3, "not_found", "did you mean"},
		{"queue purge emails", 4, "conflict", "drop 1 waiting and 0 scheduled tasks"},
		{"queue remove emials", 3, "not_found", "did you mean"},
		{"queue remove emails", 4, "conflict", "not empty: 1 waiting"},
		{"queue remove full --yes", 4, "conflict", "with --force they go with it"},
		{"queue remove full --force", 4, "conflict", "queue remove full --force --yes"},
		{"queue remove declared --force --yes", 4, "conflict", `declared by owner "team-a"; take it out of that file`},
		{"queue test emails 0", 2, "usage", `COUNT "0" is not a number from 1 to 100000`},
		{"queue test emails many", 2, "usage", "COUNT"},
		{"queue test emails 2 --payload {", 7, "invalid", "at byte 1"},
		{"queue test emials 2", 3, "not_found", "did you mean"},

		{"submit emials", 3, "not_found", "did you mean"},
		{`submit emails {"a":}`, 7, "invalid", "payload is not valid JSON: at byte 6"},
		{"submit emails @/no/such/file", 7, "invalid", `there is no file "/no/such/file"`},
		{"submit emails -", 7, "invalid", "payload is not valid JSON"}, // empty standard input
		{"submit emails " + `"` + strings.Repeat("x", 256<<10) + `"`, 7, "invalid", "larger than 262144 bytes (max_payload)"},
		{"submit emails --id taken", 4, "conflict", `task id "taken" is taken`},
		{"submit emails --id a•b", 2, "usage", "task id"},
		{"submit emails --id=", 2, "usage", "--id is empty"},
		{"submit emails --header novalue", 2, "usage", "name=value"},
		{"submit emails --header a=1 --header a=2", 2, "usage", "given twice"},
		{"submit emails --key " + strings.Repeat("k", 257), 2, "usage", "too long"},
		{"submit emails --in -5s", 2, "usage", "--in -5s must be 0 to 366d"},
		{"submit emails --in 5", 2, "usage", `did you mean "5s"?`},
		{"submit emails --in 400d", 2, "usage", "must be 0 to 366d"},
		{"submit emails --at yesterday", 2, "usage", "is not an instant"},
		{"submit emails --at 2020-01-01T00:00:00Z", 2, "usage", "in the past"},
		{"submit emails --at 2999-01-01T00:00:00Z", 2, "usage", "more than 366d ahead"},
		{"submit emails --in 5s --at 2999-01-01T00:00:00Z", 2, "usage", "exclude each other"},

		{"task list -q emials", 3, "not_found", "did you mean"},
		{"task list --state runing", 2, "usage", `did you mean "running"?`},
		{"task list --limit 0", 2, "usage", "must be 1 to 1000"},
		{"task show nope", 3, "not_found", `no task "nope"`},
		{"task cancel nope", 3, "not_found", `no task "nope"`},
		{"task retry nope", 3, "not_found", `no task "nope"`},
		{"task retry taken", 4, "conflict", `task "taken" is waiting`},

		{"-c /no/such.hcl queue list", 7, "invalid", "/no/such.hcl"},
		{"-c " + badFile + " queue list", 7, "invalid", "namespace"},
	}
	for _, m := range mistakes {
		args := strings.Fields(m.args)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "•", " ")
		}
		text := b.run(args...)
		if text.code != m.code || text.out != "" || !strings.Contains(text.err, m.says) {
			t.Errorf("throttlectl %.100s: exit %d, want %d with %q; output %q, error %s", m.args, text.code, m.code, m.says, text.out, text.err)
		}
		r := b.run(append([]string{"--json"}, args...)...)
		var got struct {
			Error struct{ Code, Message string }
		}
		if err := json.Unmarshal([]byte(r.err), &got); err != nil || r.out != "" {
			t.Errorf("throttlectl --json %.100s: %v\n%s", m.args, err, r.err)
			continue
		}
		if r.code != m.code || got.Error.Code != m.word || !strings.Contains(got.Error.Message, m.says) {
			t.Errorf("throttlectl --json %.100s: exit %d, %+v, want %d %s", m.args, r.code, got, m.code, m.word)
		}
	}
}

func TestBadFileIsShownWithItsLine(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "bad.hcl")
	if err := os.WriteFile(file, []byte("queue \"a\" {\n  handler = \"x\"\n  rate = \"10/x\"\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := run("", "-c", file, "queue", "list")
	if r.code != 7 {
		t.Errorf("exit %d", r.code)
	}
	contains(t, r.err, "bad.hcl line 3", `rate = "10/x"`, "Unknown handler")
	r = run("", "-c", file, "queue", "list", "--json")
	contains(t, r.err, `"diagnostics":[{`, `"line":3`)
}

// Who waits for Redis for longer than a second is told what for.
func TestWaitIsTold(t *testing.T) {
	t.Parallel()
	for _, json := range []bool{false, true} {
		args := []string{"--redis-url", "redis://127.0.0.1:1/0", "--timeout", "2500ms", "queue", "list"}
		if json {
			args = append(args, "--json")
		}
		r := run("", args...)
		if r.code != 5 || strings.Contains(r.err, "Note: waiting up to 2.5s for Redis at redis://127.0.0.1:1/0\n") == json {
			t.Errorf("json %t: exit %d, %s", json, r.code, r.err)
		}
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	silent := newBench(t)
	silent.server.Stop()
	t.Cleanup(silent.server.Continue)
	for _, url := range []string{"redis://127.0.0.1:1/0", "unix:///no/such/socket", silent.server.URL()} {
		begin := time.Now()
		r := run("", "--redis-url", url, "--timeout", "300ms", "submit", "emails")
		if r.code != 5 || r.out != "" {
			t.Errorf("%s: exit %d, output %q", url, r.code, r.out)
		}
		contains(t, r.err, "is not reachable (tried for 300ms)", "THROTTLE_REDIS_URL")
		if strings.Count(r.err, "\n") != 1 {
			t.Errorf("more than one line: %s", r.err)
		}
		if took := time.Since(begin); took > 3*time.Second {
			t.Errorf("%s: took %v", url, took)
		}
	}
}

// A Redis that is not up yet is waited for.
func TestRedisComesUp(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.server.Stop()
	time.AfterFunc(200*time.Millisecond, b.server.Continue)
	b.ok("queue", "list", "--json")
}

// Redis answers, but the command does not end in time.
func TestTimeout(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.queue("emails", "smtp", "")
	rdb := b.server.Client()
	defer rdb.Close()
	b.must(rdb.Do(b.ctx(), "client", "pause", 60_000, "write").Err()) // scripts wait, PING does not
	r := b.run("--timeout", "300ms", "queue", "show", "emails", "--json")
	if r.code != 6 {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
	contains(t, r.err, `"code":"timeout"`, "timed out after 300ms", "--timeout gives it longer")
	r = b.run("--timeout", "300ms", "submit", "emails")
	contains(t, r.err, "it is unknown whether the task was taken in", "--id")
	r = b.run("--timeout", "300ms", "submit", "emails", "--id", "x")
	contains(t, r.err, "submit it again")
}

func TestHelp(t *testing.T) {
	t.Parallel()
	a := newApp(nil, nil, nil, nil)
	each(a.root(), func(c *cobra.Command) {
		path := strings.Fields(c.CommandPath())[1:]
		if len(path) > 0 && (path[0] == "completion" || path[0] == "help") {
			return
		}
		if c.Short == "" || c.Example == "" {
			t.Errorf("%s has no summary or no example", c.CommandPath())
		}
		for _, args := range [][]string{append(path, "--help"), append([]string{"help"}, path...)} {
			r := run("", args...)
			if r.code != 0 || r.err != "" || !strings.Contains(r.out, "Examples:") {
				t.Errorf("throttlectl %q: exit %d\n%s%s", args, r.code, r.out, r.err)
			}
		}
	})
}

func TestCompletionAndVersion(t *testing.T) {
	t.Parallel()
	if r := run("", "completion", "bash"); r.code != 0 || !strings.Contains(r.out, "__start_throttlectl") {
		t.Errorf("completion: exit %d %s", r.code, r.err)
	}
	if r := run("", "version"); r.out != "throttlectl "+version+"\n" {
		t.Errorf("version: %+v", r)
	}
	if r := run("", "version", "--json"); r.out != "{\n  \"version\": \""+version+"\"\n}\n" {
		t.Errorf("version: %+v", r)
	}
}
