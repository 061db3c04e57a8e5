package main

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/scheduler"
)

func decode(t *testing.T, text string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
}

// serve claims and settles the tasks of a handler until the test ends.
func (b *bench) serve(s *scheduler.Session, handler string) {
	go func() {
		for b.ctx().Err() == nil {
			g, _, _, err := s.Exchange(b.ctx(), nil, &scheduler.Claim{Slots: []scheduler.Slots{{Index: "default:" + handler, Free: 64}}})
			if err != nil {
				return
			}
			var out []scheduler.Outcome
			for _, x := range g.Grants {
				out = append(out, scheduler.Outcome{Task: x.Internal, Fence: x.Fence, Kind: scheduler.Done})
			}
			if len(out) > 0 {
				_, _, _, _ = s.Exchange(b.ctx(), out, nil)
			}
			time.Sleep(2 * time.Millisecond) // between claims
		}
	}()
}

func TestWatchTheStartsOfTestTasks(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.queue("q", "echo", "20/1s:2")
	b.serve(b.worker("w1", map[string]int{"echo": 64}), "echo")
	out := b.ok("queue", "test", "q", "5", "--watch")
	if !regexp.MustCompile(`^q: 5 tasks submitted, \S+ to \S+
the first can start now, the last .*
1/5  \S+  \+       0\.0 ms  .*
2/5  \S+  \+ .*
3/5  \S+  \+ +\d+\.\d ms  .*
4/5  .*
5/5  \S+  \+ +1[0-9]{2}\.\d ms  \( +[0-9.]+ ms after the one before\)
5 starts in 1\d\dms, \d+(\.\d+)?/s
$`).MatchString(out) {
		t.Error(out)
	}
	var last startView
	lines := strings.Split(strings.TrimSpace(b.ok("--json", "queue", "test", "q", "3", "--payload", "1", "--watch")), "\n")
	decode(t, lines[len(lines)-1], &last)
	if len(lines) != 4 || last.StartedAt == nil || *last.OffsetSeconds <= 0 || *last.OffsetSeconds > 1 {
		t.Errorf("%q", lines)
	}
}

// Ctrl-C says how many had started; a queue that is held says so at once.
func TestWatchIsInterrupted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.queue("q", "echo", "")
	b.must(b.Pause(b.ctx(), "q"))
	cmd := b.child("queue", "test", "q", "3", "--watch")
	var out, text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &text
	b.must(cmd.Start())
	for b.waiting("q") < 3 {
		time.Sleep(time.Millisecond) // until another process has submitted
	}
	b.ok("task", "cancel", b.first("q"))
	time.Sleep(100 * time.Millisecond) // it looks meanwhile
	b.must(cmd.Process.Signal(os.Interrupt))
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("exit %d", code)
	}
	contains(t, text.String(), `Note: nothing of queue "q" starts now: paused`, `interrupted: 1 of 3 tasks had started; the others stay in queue "q"`)
	contains(t, out.String(), "3 tasks submitted", "1/3", "start not seen: it was cancelled")
	b.mistakes([]mistake{
		{"queue test q 0 --watch", 2, "usage", "COUNT"},
		{"queue test q 1 --watch --payload {", 7, "invalid", "at byte 1"},
		{"queue test p 1 --watch", 3, "not_found", "no queue"},
	})
}

func (b *bench) first(queue string) string {
	b.t.Helper()
	tasks, err := b.Tasks(b.ctx(), queue, "waiting", 1)
	b.must(err)
	return tasks[0].ID
}
