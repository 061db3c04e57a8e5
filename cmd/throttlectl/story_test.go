package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/scheduler"
	"github.com/throttlerd/throttlerd/tests/redistest"
)

// desk is a Redis of the test's own and what commands say about it.
type desk struct {
	*testing.T
	url    string
	client *scheduler.Client
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	t.Chdir(t.TempDir()) // no config.hcl of somebody else's
	for _, name := range []string{"THROTTLE_REDIS_URL", "THROTTLE_NAMESPACE", "THROTTLE_CONFIG"} {
		t.Setenv(name, "")
	}
	srv := redistest.Start(t)
	rdb := srv.Client()
	t.Cleanup(func() { rdb.Close() })
	client, err := scheduler.New(rdb, scheduler.Options{Namespace: "ctl"})
	if err != nil {
		t.Fatal(err)
	}
	return &desk{t, srv.URL(), client}
}

func (s *desk) run(args ...string) result { return s.pipe("", args...) }

func (s *desk) pipe(stdin string, args ...string) result {
	return run(stdin, append([]string{"--redis-url", s.url, "--namespace", "ctl"}, args...)...)
}

// ok demands exit code 0 and returns standard output.
func (s *desk) ok(args ...string) string {
	s.Helper()
	r := s.run(args...)
	if r.code != 0 {
		s.Fatalf("%v: exit code %d: %s", args, r.code, r.err)
	}
	return r.out
}

// fails demands an exit code and a text on standard error, and nothing on output.
func (s *desk) fails(code int, says string, args ...string) {
	s.Helper()
	if r := s.run(args...); r.code != code || !strings.Contains(r.err, says) || r.out != "" {
		s.Errorf("%v: exit code %d, want %d and %q\nstdout: %s\nstderr: %s", args, r.code, code, says, r.out, r.err)
	}
}

// fields are the names of a JSON object.
func (s *desk) fields(text string) map[string]any {
	s.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		s.Fatalf("%v: %s", err, text)
	}
	return v
}

// worker registers a worker that nobody runs.
func (s *desk) worker(id string, slots map[string]int) *scheduler.Session {
	s.Helper()
	ses, err := s.client.Register(context.Background(), scheduler.Worker{
		ID: id, Host: "h", PID: 7, Pools: []string{"default"}, Slots: slots, Lease: time.Minute, Version: "v1", ConfigHash: "abc", Started: time.Now(),
	})
	if err != nil {
		s.Fatal(err)
	}
	return ses
}

func TestStoryQueueCommands(t *testing.T) {
	s := newDesk(t)
	s.fails(2, "--handler", "queue", "create", "10/1m") // no live worker to take it from
	s.worker("w1", map[string]int{"echo": 8})
	name := s.ok("queue", "create", "10/60s:5")
	if len(name) != 11 || !strings.HasPrefix(name, "q-") {
		t.Errorf("generated name %q", name)
	}
	if out := s.ok("queue", "create", "unlimited", "--name", "free", "--handler", "echo"); out != "free\n" {
		t.Errorf("%q", out)
	}
	if r := s.run("queue", "create", "1/1h", "--name", "lone", "--handler", "nobody"); r.code != 0 || !strings.Contains(r.err, `no live worker serves handler "nobody"`) {
		t.Errorf("%+v", r)
	}
	s.worker("w2", map[string]int{"other": 2})
	s.fails(2, "other", "queue", "create", "10/1m") // two handlers to choose from
	s.fails(4, `queue "free" exists`, "queue", "create", "1/1s", "--name", "free", "--handler", "echo")
	s.fails(2, `unit "S"`, "queue", "create", "10/60S", "--handler", "echo")
	s.fails(2, `"No"`, "queue", "create", "1/1s", "--name", "No", "--handler", "echo")

	var list []map[string]any
	if err := json.Unmarshal([]byte(s.ok("--json", "queue", "list")), &list); err != nil || len(list) != 3 || list[0]["name"] != "free" {
		t.Errorf("%v %v", list, err)
	}
	q := s.fields(s.ok("--json", "queue", "show", strings.TrimSpace(name)))
	for _, f := range []string{"name", "handler", "pool", "rate", "state", "paused", "blocked_by", "waiting", "scheduled", "running", "dead",
		"completed_total", "failed_total", "tokens", "capacity", "next_token_in_seconds"} {
		if _, ok := q[f]; !ok {
			t.Errorf("queue show lacks %q", f)
		}
	}
	if q["rate"] != "10/1m:5" || q["tokens"] != 5.0 || q["capacity"] != 5.0 || q["blocked_by"] != nil {
		t.Errorf("%v", q)
	}
	if q := s.fields(s.ok("--json", "queue", "show", "free")); q["rate"] != "unlimited" || q["tokens"] != nil || q["capacity"] != nil {
		t.Errorf("%v", q)
	}

	s.ok("queue", "pause", "free")
	if q := s.fields(s.ok("--json", "queue", "show", "free")); q["state"] != "paused" || q["paused"] != true || q["blocked_by"] != "paused" {
		t.Errorf("%v", q)
	}
	s.ok("queue", "resume", "free")
	s.ok("queue", "update", "free", "--rate", "3/1h:2", "--timeout", "5s")
	if q := s.fields(s.ok("--json", "queue", "show", "free")); q["rate"] != "3/1h:2" || q["timeout_seconds"] != 5.0 {
		t.Errorf("%v", q)
	}
	s.fails(2, "update", "queue", "update", "free")
	s.fails(3, `did you mean "free"?`, "queue", "show", "fre")
	s.fails(3, `no queue "x"`, "queue", "pause", "x")

	s.ok("queue", "test", "lone", "4")
	if out := s.ok("queue", "show", "lone"); !strings.Contains(out, `no live worker serves handler "nobody"`) {
		t.Errorf("queue show does not say why nothing moves:\n%s", out)
	}
	s.fails(4, "--yes", "queue", "purge", "lone")
	s.fails(4, "4", "queue", "remove", "lone", "--yes")
	if q := s.fields(s.ok("--json", "queue", "show", "lone")); q["waiting"] != 4.0 {
		t.Errorf("a refused purge dropped tasks: %v", q["waiting"])
	}
	if out := s.ok("queue", "purge", "lone", "--yes"); !strings.Contains(out, "4") {
		t.Errorf("%q", out)
	}
	s.ok("queue", "remove", "lone", "--yes")
	s.fails(3, `no queue "lone"`, "queue", "show", "lone")
}

func TestStorySubmitAndTaskCommands(t *testing.T) {
	s := newDesk(t)
	s.ok("queue", "create", "1/1h:2", "--name", "q", "--handler", "echo")
	r := s.fields(s.ok("--json", "submit", "q", `{"a":1}`, "--id", "build-1", "--type", "t", "--key", "k", "--header", "x=y"))
	if r["id"] != "build-1" || r["queue"] != "q" || r["state"] != "waiting" || r["position"] != 0.0 || r["earliest_start"] == nil {
		t.Errorf("receipt %v", r)
	}
	s.ok("submit", "q")
	if r := s.fields(s.ok("--json", "submit", "q", "{}")); r["position"] != 1.0 {
		t.Errorf("receipt %v", r)
	}
	if r := s.pipe(`{"from":"stdin"}`, "--json", "submit", "q", "-", "--id", "in"); r.code != 0 {
		t.Errorf("%+v", r)
	}
	if err := os.WriteFile("p.json", []byte(`{"from":"file"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s.ok("submit", "q", "@p.json", "--id", "file", "--in", "1d")
	x := s.fields(s.ok("--json", "task", "show", "build-1"))
	if x["state"] != "waiting" || x["type"] != "t" || x["key"] != "k" || x["payload"].(map[string]any)["a"] != 1.0 {
		t.Errorf("%v", x)
	}
	if x := s.fields(s.ok("--json", "task", "show", "file")); x["state"] != "scheduled" || x["payload"].(map[string]any)["from"] != "file" {
		t.Errorf("%v", x)
	}
	s.fails(4, `"build-1" is taken`, "submit", "q", "{}", "--id", "build-1")
	s.fails(3, `no queue "qq"`, "submit", "qq", "{}")
	s.fails(7, "at byte 2", "submit", "q", "{bad")
	s.fails(7, "nope.json", "submit", "q", "@nope.json")
	s.fails(7, "larger than 262144", "submit", "q", `"`+strings.Repeat("x", 300_000)+`"`)
	s.fails(2, "", "submit", "q", "{}", "--in", "-3s")
	s.fails(2, "", "submit", "q", "{}", "--at", "tomorrow")
	s.fails(2, `"a b"`, "submit", "q", "{}", "--id", "a b")
	s.fails(2, "", "submit")

	var list []map[string]any
	if err := json.Unmarshal([]byte(s.ok("--json", "task", "list", "-q", "q", "--state", "waiting")), &list); err != nil || len(list) != 4 || list[0]["id"] != "build-1" {
		t.Errorf("%v %v", list, err)
	}
	if out := s.ok("--json", "task", "list", "-q", "q", "--state", "dead"); strings.TrimSpace(out) != "[]" {
		t.Errorf("an empty list is %q", out)
	}
	s.fails(2, "waiting, scheduled", "task", "list", "-q", "q", "--state", "asleep")
	s.ok("task", "retry", "file")
	if x := s.fields(s.ok("--json", "task", "show", "file")); x["state"] != "waiting" {
		t.Errorf("%v", x)
	}
	s.ok("task", "cancel", "file")
	s.fails(4, "cancelled", "task", "cancel", "file")
	s.fails(4, "cancelled", "task", "retry", "file")
	s.fails(3, `no task "nope"`, "task", "show", "nope")
}

// Data of a task cannot steer the terminal it is shown on.
func TestStoryTaskShowIsSafe(t *testing.T) {
	s := newDesk(t)
	s.ok("queue", "create", "unlimited", "--name", "q", "--handler", "echo")
	s.ok("submit", "q", `"\u001b[2J"`, "--id", "a", "--key", "k\x1b[31m")
	if out := s.ok("task", "show", "a"); strings.ContainsRune(out, 0x1b) {
		t.Errorf("an escape sequence reaches the terminal: %q", out)
	}
}

func TestStoryWorkerList(t *testing.T) {
	s := newDesk(t)
	if out := s.ok("--json", "worker", "list"); strings.TrimSpace(out) != "[]" {
		t.Errorf("%q", out)
	}
	s.worker("w1", map[string]int{"echo": 8, "webhook": 4})
	var list []map[string]any
	if err := json.Unmarshal([]byte(s.ok("--json", "worker", "list")), &list); err != nil || len(list) != 1 {
		t.Fatalf("%v %v", list, err)
	}
	for _, f := range []string{"id", "host", "pid", "pool", "handlers", "slots", "running", "lease_seconds", "version", "config_hash"} {
		if _, ok := list[0][f]; !ok {
			t.Errorf("worker list lacks %q: %v", f, list[0])
		}
	}
	if list[0]["id"] != "w1" || list[0]["lease_seconds"] != 60.0 {
		t.Errorf("%v", list[0])
	}
	if out := s.ok("worker", "list"); !strings.Contains(out, "w1") || !strings.Contains(out, "webhook") {
		t.Errorf("%s", out)
	}
}

func TestStoryUsage(t *testing.T) {
	s := newDesk(t)
	s.fails(2, "unknown flag", "queue", "list", "--bogus")
	s.fails(2, `unknown command`, "bogus")
	s.fails(2, "password", "--redis-url", "redis://:secret@127.0.0.1/0", "queue", "list")
	r := s.run("--json", "queue", "show", "nope")
	var e struct {
		Error struct{ Code, Message string }
	}
	if err := json.Unmarshal([]byte(r.err), &e); err != nil || r.code != 3 || e.Error.Code != "not_found" || e.Error.Message == "" {
		t.Errorf("%+v %v", r, err)
	}
	if out := s.ok("version"); !strings.HasPrefix(out, "throttlectl ") {
		t.Errorf("%q", out)
	}
	for _, help := range [][]string{{"--help"}, {"queue", "--help"}, {"queue", "create", "--help"}, {"submit", "--help"}} {
		if r := s.run(help...); r.code != 0 || !strings.Contains(r.out, "throttlectl") {
			t.Errorf("%v: %+v", help, r)
		}
	}
}

// Flag over environment over file over default.
func TestStoryPrecedence(t *testing.T) {
	s := newDesk(t)
	s.ok("queue", "create", "unlimited", "--name", "here", "--handler", "echo")
	file := filepath.Join(t.TempDir(), "c.hcl")
	text := "namespace = \"ctl\"\nredis { url = \"" + s.url + "\" }\nhandler \"not-on-this-machine\" {}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	seen := func(args ...string) bool {
		t.Helper()
		r := run("", append(args, "--timeout", "500ms", "queue", "list")...)
		return r.code == 0 && strings.Contains(r.out, "here")
	}
	if !seen("-c", file) {
		t.Error("the file is not used")
	}
	t.Setenv("THROTTLE_CONFIG", file)
	if !seen() {
		t.Error("THROTTLE_CONFIG is not used")
	}
	t.Setenv("THROTTLE_NAMESPACE", "elsewhere")
	if seen() {
		t.Error("the file goes over THROTTLE_NAMESPACE")
	}
	if !seen("--namespace", "ctl") {
		t.Error("THROTTLE_NAMESPACE goes over --namespace")
	}
	t.Setenv("THROTTLE_NAMESPACE", "")
	t.Setenv("THROTTLE_REDIS_URL", "redis://:hidden@127.0.0.1:1/0")
	if r := run("", "--timeout", "300ms", "queue", "list"); r.code != 5 || strings.Contains(r.err, "hidden") {
		t.Errorf("%+v", r)
	}
	if !seen("--redis-url", s.url) {
		t.Error("THROTTLE_REDIS_URL goes over --redis-url")
	}
}

func TestStoryUpdateOfADeclaredQueueIsAnOverride(t *testing.T) {
	s := newDesk(t)
	spec := scheduler.DefaultQueue("echo")
	if err := s.client.Apply(context.Background(), scheduler.Declaration{Owner: "team", Queues: map[string]scheduler.QueueSpec{"d": spec}}); err != nil {
		t.Fatal(err)
	}
	if r := s.run("queue", "update", "d", "--rate", "5/1s"); r.code != 0 || !strings.Contains(r.err, "override") {
		t.Errorf("%+v", r)
	}
	if out := s.ok("queue", "show", "d"); !strings.Contains(strings.ToUpper(out), "OVERRIDE") {
		t.Errorf("%s", out)
	}
	s.fails(4, `owner "team"`, "queue", "remove", "d", "--force", "--yes")
	if !slices.Contains(strings.Fields(s.ok("queue", "list")), "d") {
		t.Error("it is gone")
	}
}
