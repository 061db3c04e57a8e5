package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/scheduler"
)

// linesFile writes a file of n payloads and returns its name.
func linesFile(t *testing.T, n int) string {
	t.Helper()
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "{\"item\":%d}\n", i+1)
	}
	return textFile(t, b.String())
}

func textFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "x.jsonl")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func (b *bench) waiting(queue string) int64 {
	b.t.Helper()
	q, err := b.Queue(b.ctx(), queue)
	b.must(err)
	return q.Waiting
}

// payloads are those of the waiting tasks, in their order.
func (b *bench) payloads(queue string, most int) []string {
	b.t.Helper()
	tasks, err := b.Tasks(b.ctx(), queue, "waiting", most)
	b.must(err)
	var out []string
	for _, t := range tasks {
		out = append(out, string(t.Payload))
	}
	return out
}

func TestSubmitFile(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.queue("q", "echo", "10/1h:5")
	file := linesFile(t, 700)
	golden(t, "submit_file.txt", b.ok("submit", "q", "--file", file))
	for i, p := range b.payloads("q", 700) {
		if p != fmt.Sprintf(`{"item":%d}`, i+1) {
			t.Fatalf("payload %d is %s", i+1, p)
		}
	}
	r := b.run("submit", "q", "--file", file)
	if r.code != 4 || b.waiting("q") != 700 {
		t.Errorf("again: exit %d, %d wait", r.code, b.waiting("q"))
	}
	contains(t, r.err, "x.jsonl line 1: task id", "is taken, nothing was submitted", "--resume")
	var v bulkView
	b.decode(&v, "submit", "q", "--file", file, "--resume")
	if v != (bulkView{Queue: "q", Skipped: 700}) {
		t.Errorf("%+v", v)
	}
	b.queue("free", "echo", "")
	b.decode(&v, "submit", "free", "--file", file)
	if v != (bulkView{Queue: "free", Submitted: 700, Ready: 700}) { // the same file, but another queue
		t.Errorf("%+v", v)
	}
	r = b.pipe("1\r\n\"two\"\r\n3", "--json", "submit", "q", "--file", "-")
	contains(t, r.out, `"submitted": 3`, `"ready": 0`, `"waiting": 3`)
}

func TestSubmitEnvelopes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.queue("q", "echo", "")
	file := textFile(t, `{"payload":{"a":1},"id":"own","type":"email","key":"ann","headers":{"trace":"1"}}
{"payload":null}
{"payload":"later","in":"1h"}
{"payload":"then","at":"2020-01-01T00:00:00Z"}
`)
	var v bulkView
	b.decode(&v, "submit", "q", "--file", file, "--envelope")
	if v.Submitted != 4 || v.Ready != 3 || v.Waiting != 1 {
		t.Errorf("%+v", v)
	}
	task, err := b.Task(b.ctx(), "own")
	if err != nil || task.Type != "email" || task.Key != "ann" || task.Headers["trace"] != "1" || string(task.Payload) != `{"a":1}` {
		t.Errorf("%+v %v", task, err)
	}
	if got := b.payloads("q", 9); strings.Join(got, " ") != `{"a":1} null "then"` {
		t.Errorf("%q", got)
	}
	// a line whose own id is taken is left out, the others are not
	more := textFile(t, "{\"payload\":5,\"id\":\"own\"}\n{\"payload\":6}\n")
	r := b.run("submit", "q", "--file", more, "--envelope")
	if r.code != 4 {
		t.Errorf("exit %d", r.code)
	}
	contains(t, r.err, `line 1: task id "own" is taken`)
	golden(t, "submit_file_resume.txt", b.ok("submit", "q", "--file", more, "--envelope", "--resume"))
}

// Nothing goes out while one line cannot be used; each says why.
func TestBadLines(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.queue("q", "echo", "")
	for _, row := range []struct {
		name, text string
		envelope   bool
		says       []string
	}{
		{"no JSON", "1\n{\"a\":}\n", false, []string{"1 of 2 lines cannot be used, so nothing was submitted", "line 2: payload is not valid JSON: at byte 6"}},
		{"two values", "1 2\n", false, []string{"line 1: payload is not valid JSON"}},
		{"empty line", "1\n\n2\n", false, []string{"line 2: is empty; each line is one JSON value"}},
		{"byte order mark", "\xef\xbb\xbf1\n", false, []string{"line 1: begins with a byte order mark"}},
		{"empty file", "", false, []string{"is empty; each line is one task"}},
		{"too large", "1\n\"" + strings.Repeat("x", 256<<10) + "\"\n", false, []string{"line 2: payload has 262146 bytes; at most 262144"}},
		{"far too large", "\"" + strings.Repeat("x", 2<<20) + "\"\n1\n[", false, []string{"2 of 3 lines", "line 1: is too long", "line 3: payload is not valid JSON"}},
		{"many", strings.Repeat("x\n", 25), false, []string{"25 of 25 lines", "line 1: ", "line 10: ", "and 15 more"}},
		{"control characters", "\"\x1b[2J\n", false, []string{`invalid character '\x1b'`}},
		{"no envelope", "[1]\n", true, []string{"line 1: is no envelope"}},
		{"bad JSON", "{\"payload\":1\n", true, []string{"line 1: is not valid JSON"}},
		{"no payload", "{\"id\":\"a\"}\n", true, []string{`line 1: has no "payload"`}},
		{"unknown field", "{\"payload\":1,\"idd\":\"a\"}\n", true, []string{`unknown field "idd"; did you mean "id"?`}},
		{"unknown field", "{\"payload\":1,\"priority\":1}\n", true, []string{`unknown field "priority"; there are payload, id, type`}},
		{"capitals", "{\"Payload\":1}\n", true, []string{`unknown field "Payload"; did you mean "payload"?`}},
		{"twice", "{\"payload\":1,\"payload\":2}\n", true, []string{`"payload" is there twice`}},
		{"types", "{\"payload\":1,\"id\":5}\n{\"payload\":1,\"key\":null}\n{\"payload\":1,\"headers\":[1]}\n{\"payload\":1,\"headers\":{\"a\":null}}\n", true,
			[]string{`line 1: "id" must be a string, not 5`, `line 2: "key" must be a string, not null`, `line 3: "headers" must be an object`, `line 4: "headers": "a" must be a string`}},
		{"ids", "{\"payload\":1,\"id\":\"a b\"}\n{\"payload\":1,\"id\":\"\"}\n{\"payload\":1,\"id\":\"0123456789abc-1\"}\n", true,
			[]string{"line 1: task id", `line 2: "id" is empty`, "line 3: task id"}},
		{"the same id", "{\"payload\":1,\"id\":\"a\"}\n{\"payload\":1}\n{\"payload\":1,\"id\":\"a\"}\n{\"payload\":1,\"id\":\"a\"}\n", true,
			[]string{"2 of 4 lines", "line 3: has the id of line 1", "line 4: has the id of line 1"}},
		{"when", "{\"payload\":1,\"in\":\"5\"}\n{\"payload\":1,\"in\":\"400d\"}\n{\"payload\":1,\"at\":\"soon\"}\n{\"payload\":1,\"in\":\"1s\",\"at\":\"2030-01-01T00:00:00Z\"}\n{\"payload\":1,\"at\":\"2999-01-01T00:00:00Z\"}\n", true,
			[]string{`line 1: "in": "5" has no unit`, "line 2: \"in\": \"400d\" must be 0 to 366d", `line 3: "at" "soon" is not an instant`, `line 4: has both "in" and "at"`, "line 5: delay must be within 366 days"}},
	} {
		args := []string{"submit", "q", "--file", textFile(t, row.text)}
		if row.envelope {
			args = append(args, "--envelope")
		}
		r := b.run(args...)
		if r.code != 7 || r.out != "" {
			t.Errorf("%s: exit %d, output %q", row.name, r.code, r.out)
		}
		contains(t, r.err, row.says...)
		if strings.Contains(r.err, "\x1b") {
			t.Errorf("%s: a control character: %q", row.name, r.err)
		}
	}
	if n := b.waiting("q"); n != 0 {
		t.Errorf("%d tasks wait", n)
	}
}

// A file of envelopes without --envelope is submitted as it is, with a word about it.
func TestForgottenEnvelope(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.queue("q", "echo", "")
	for text, odd := range map[string]bool{
		"{\"payload\":{\"a\":1},\"id\":\"a\"}\n": true, "{\"payload\":1}\n": true,
		"{\"payload\":1,\"other\":2}\n": false, "{\"id\":\"b\"}\n": false, "1\n": false,
	} {
		r := b.run("submit", "q", "--file", textFile(t, text))
		if said := strings.Contains(r.err, "looks like an envelope"); r.code != 0 || said != odd {
			t.Errorf("%q: exit %d, %q", text, r.code, r.err)
		}
	}
}

func TestSubmitFileMistakes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.queue("q", "echo", "")
	file, dir := linesFile(t, 3), t.TempDir()
	b.must(syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	b.mistakes([]mistake{
		{"submit q --file /no/such/file", 7, "invalid", `--file: there is no file "/no/such/file"`},
		{"submit q --file " + dir, 7, "invalid", "is a directory"},
		{"submit q --file /dev/null", 7, "invalid", "is no regular file"},
		{"submit q --file=", 2, "usage", "--file is empty"},
		{"submit q {} --file " + file, 2, "usage", "exclude each other"},
		{"submit q --id x --file " + file, 2, "usage", "--file and --id exclude each other; with --envelope"},
		{"submit q --in 5s --file " + file, 2, "usage", "--file and --in exclude each other"},
		{"submit q --envelope", 2, "usage", "--envelope goes with --file only"},
		{"submit q {} --resume", 2, "usage", "--resume goes with --file only"},
		{"submit Q --file " + file, 2, "usage", `queue "Q" is not a name`},
		{"submit p --file " + file, 3, "not_found", `no queue "p"`},
	})
}

var inForm = regexp.MustCompile(`([0-9,]+) of [0-9,]+ lines are in`)

// in is how many lines the message says are in.
func in(t *testing.T, message string) int64 {
	t.Helper()
	m := inForm.FindStringSubmatch(message)
	if m == nil {
		t.Fatalf("it does not say how many lines are in: %s", message)
	}
	n, err := strconv.ParseInt(strings.ReplaceAll(m[1], ",", ""), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Ctrl-C half way, twice; what is said to be in is what is in, and in the end each line
// is in once, in its place.
func TestInterruptAndResume(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.queue("q", "echo", "")
	const n = 30_000
	file := linesFile(t, n)
	args := []string{"submit", "q", "--file", file}
	for _, part := range []int64{2_000, 9_000} {
		cmd := b.child(args...)
		var stderr, stdout bytes.Buffer
		cmd.Stderr, cmd.Stdout = &stderr, &stdout
		b.must(cmd.Start())
		for deadline := time.Now().Add(20 * time.Second); b.waiting("q") < part; {
			if time.Now().After(deadline) {
				t.Fatalf("%d lines are in", b.waiting("q"))
			}
		}
		b.must(cmd.Process.Signal(os.Interrupt))
		if err := cmd.Wait(); err == nil {
			t.Fatal("it ended before Ctrl-C reached it: the file is too short for this machine")
		}
		if code := cmd.ProcessState.ExitCode(); code != 1 {
			t.Errorf("exit %d", code)
		}
		contains(t, stderr.String(), "interrupted: ", "to go on, type: throttlectl --redis-url", "--resume\n")
		contains(t, stdout.String(), "SUBMITTED")
		if said := in(t, stderr.String()); said != b.waiting("q") || said < part {
			t.Errorf("%d lines are in: %s", b.waiting("q"), stderr.String())
		}
		args = append(args[:4:4], "--resume")
	}
	before := b.waiting("q")
	var v bulkView
	b.decode(&v, args...)
	if v.Skipped != before || v.Submitted != n-before {
		t.Errorf("%+v after %d", v, before)
	}
	for i, p := range b.payloads("q", 40*256) {
		if p != fmt.Sprintf(`{"item":%d}`, i+1) {
			t.Fatalf("payload %d is %s", i+1, p)
		}
	}
	if b.waiting("q") != n {
		t.Errorf("%d tasks wait", b.waiting("q"))
	}
}

// The ids of tasks that have run are forgotten sooner or later; their lines stay in.
func TestResumeKnowsLinesWhoseTasksHaveRun(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	spec := scheduler.DefaultQueue("echo")
	spec.History = 0 // no id is known once its task has run
	_, err := b.CreateQueue(b.ctx(), "q", spec)
	b.must(err)
	s := b.register(scheduler.Worker{ID: "w", Slots: map[string]int{"echo": 128}, Pools: []string{"default"}, Lease: time.Minute})
	file := linesFile(t, 1000)
	ctx, cancel := context.WithCancel(b.ctx())
	go func() { // ends the command when something is in
		for ctx.Err() == nil {
			if q, err := b.Queue(ctx, "q"); err == nil && q.Waiting > 0 {
				cancel()
			}
		}
	}()
	var out, text bytes.Buffer
	a := newApp([]string{"--redis-url", b.server.URL(), "submit", "q", "--file", file}, nil, &out, &text)
	a.base = ctx
	code := a.run()
	done := b.waiting("q")
	if code == 1 && in(t, text.String()) != done {
		t.Errorf("%d are in: %s", done, text.String())
	}
	for range done/128 + 1 { // all that is in runs
		var out []scheduler.Outcome
		for _, g := range b.claim(s, "echo", 128) {
			out = append(out, scheduler.Outcome{Task: g.Internal, Fence: g.Fence, Kind: scheduler.Done})
		}
		_, _, err, _ := s.Exchange(b.ctx(), out, nil)
		b.must(err)
	}
	rdb := b.server.Client()
	defer rdb.Close()
	keys, err := rdb.Keys(b.ctx(), "{throttle}:bulk:*").Result()
	b.must(err)
	if len(keys) != 1 {
		t.Fatalf("%q", keys)
	}
	ttl, err := rdb.TTL(b.ctx(), keys[0]).Result()
	b.must(err)
	if ttl < 29*24*time.Hour {
		t.Errorf("it is known for %s only", ttl)
	}
	var v bulkView
	b.decode(&v, "submit", "q", "--file", file, "--resume")
	if v.Skipped != done || v.Submitted != 1000-done {
		t.Errorf("%+v after %d", v, done)
	}
}

// Redis stands still in the middle: the last lines are in doubt, --resume finds it out.
func TestRedisGoesAwayDuringAFile(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.queue("q", "echo", "")
	const n = 60_000
	file := linesFile(t, n)
	stopped := make(chan bool)
	go func() {
		for b.t.Context().Err() == nil {
			if q, err := b.Queue(b.ctx(), "q"); err == nil && q.Waiting > 1000 {
				b.server.Stop()
				break
			}
		}
		close(stopped)
	}()
	r := b.run("--timeout", "300ms", "submit", "q", "--file", file)
	<-stopped
	b.server.Continue()
	if r.code == 0 {
		t.Fatal("it ended before Redis was stopped: the file is too short for this machine")
	}
	if r.code != 6 && r.code != 5 {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
	said := in(t, r.err)
	contains(t, r.err, "to go on, type: ")
	var v bulkView
	b.decode(&v, "submit", "q", "--file", file, "--resume")
	if v.Skipped < said || v.Skipped > said+256 || v.Skipped+v.Submitted != n || b.waiting("q") != n {
		t.Errorf("%+v, %d wait; %s", v, b.waiting("q"), r.err)
	}
}

func TestFullQueueSaysHowManyLinesAreIn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	spec := scheduler.DefaultQueue("echo")
	spec.MaxLength = 600
	_, err := b.CreateQueue(b.ctx(), "q", spec)
	b.must(err)
	r := b.run("submit", "q", "--file", linesFile(t, 1000))
	if r.code != 4 || b.waiting("q") != 512 {
		t.Errorf("exit %d, %d wait", r.code, b.waiting("q"))
	}
	contains(t, r.err, `queue "q" is full`, "512 of 1,000 lines are in", "--resume")
}

// A file is read in bounded memory, however many lines it has. THROTTLE_LONG=1 makes it
// a million.
func TestManyLinesInConstantMemory(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.queue("q", "echo", "")
	n := 10_000
	if os.Getenv("THROTTLE_LONG") != "" {
		n = 1_000_000
	}
	file := filepath.Join(t.TempDir(), "x.jsonl")
	f, err := os.Create(file)
	b.must(err)
	w := bufio.NewWriter(f)
	for i := range n {
		fmt.Fprintf(w, "{\"id\":\"own-%d\",\"payload\":{\"item\":%d,\"pad\":\"%060d\"}}\n", i, i, i)
	}
	b.must(errors.Join(w.Flush(), f.Close()))
	for _, args := range [][]string{{"--file", file}, {"--file", file, "--envelope"}} {
		begun := time.Now()
		cmd := b.child(append([]string{"submit", "q"}, args...)...)
		report := filepath.Join(t.TempDir(), "peak")
		cmd.Env = append(cmd.Env, peakEnv+"="+report)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		took := time.Since(begun)
		text, err := os.ReadFile(report)
		b.must(err)
		var kib int // stays 0 where a process does not tell its peak
		_, _ = fmt.Sscanf(string(text), "VmHWM: %d kB", &kib)
		t.Logf("%d lines %v: %.0f lines/s, peak %d KiB", n, args[2:], float64(n)/took.Seconds(), kib)
		if kib > 160<<10 { // 30 MiB; the race detector makes it several times that
			t.Errorf("%d lines took %d KiB", n, kib)
		}
	}
	if b.waiting("q") != int64(2*n) {
		t.Errorf("%d wait", b.waiting("q"))
	}
}

func TestIDsThatAreThereTwice(t *testing.T) {
	t.Parallel()
	var s idSet
	defer s.close()
	n := idParts*idsHeld + 5000 // some parts spill
	for i := range n {
		if err := s.add(fmt.Sprint("id-", i), int64(i+1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(s.add("id-7", 900_000), s.add("id-123456", 900_001)); err != nil {
		t.Fatal(err)
	}
	found := map[int64]int64{}
	if err := s.twice(func(line, first int64) { found[line] = first }); err != nil {
		t.Fatal(err)
	}
	if len(found) != 2 || found[900_000] != 8 || found[900_001] != 123_457 {
		t.Errorf("%v", found)
	}
}

func TestAFileThatChangesIsNoticed(t *testing.T) {
	t.Parallel()
	name := linesFile(t, 3)
	a := newApp(nil, nil, nil, nil)
	f, err := a.openBulk(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.changed(); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(name, []byte("4\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.changed(); err == nil || !strings.Contains(err.Error(), "has changed since it was checked") {
		t.Error(err)
	}
}

func TestBarLine(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		n     int64
		width int
		want  string
	}{
		{0, 60, "q  [>                                  ]    0%  0 of 4 lines"},
		{2, 60, "q  [=================>                 ]   50%  2 of 4 lines"},
		{4, 60, "q  [===================================]  100%  4 of 4 lines"},
		{4, 20, "q  100%  4 of 4 line"},
		{4, 0, ""},
	} {
		if got := barLine("q", fmt.Sprintf("%d of 4 lines", row.n), row.n, 4, row.width); got != row.want {
			t.Errorf("%d at %d:\n%q, want\n%q", row.n, row.width, got, row.want)
		}
	}
}
