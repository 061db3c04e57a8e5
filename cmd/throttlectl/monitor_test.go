package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/scheduler"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// picture is a snapshot with n queues: the first five are those that a person should
// see, the others are busy, idle or held in turn.
func picture(n int) snapshot {
	ratelimited := func(q *scheduler.Queue, rate string, tokens float64, next time.Duration) {
		q.Rates, _ = ratelimit.ParseRates(rate)
		q.Tokens, q.Capacity, q.NextToken = tokens, q.Rates[0].Burst, noon.Add(next)
		if q.Waiting > 0 && tokens < 1 {
			q.BlockedBy = "rate"
		}
	}
	var queues []scheduler.Queue
	for i := range n {
		q := scheduler.Queue{Name: fmt.Sprintf("tenant-%04d", i), QueueSpec: scheduler.DefaultQueue("echo"), Bucket: scheduler.Bucket{At: noon}, Completed: int64(i) * 1000}
		switch i {
		case 0:
			q.Name, q.Handler, q.Waiting, q.Failed = "letters-to-the-whole-country", "post", 12345, 7
			ratelimited(&q, "5000/1h:50", 50, 0)
		case 1:
			q.Name, q.Waiting, q.Running = "emails", 1_234_567, 40
			ratelimited(&q, "10/1m:5", 0.25, 4500*time.Millisecond)
		case 2:
			q.Name, q.Waiting, q.Running, q.Starts = "greedy", 300, 24, 50
		case 3:
			q.Name, q.Held, q.Paused, q.Waiting, q.Scheduled = "held", "paused", true, 9, 3
			ratelimited(&q, "1/1s", 1, 0)
		case 4:
			q.Name, q.Dead, q.FrozenUntil, q.BlockedBy, q.Waiting = "throttled", 2, noon.Add(9*time.Second), "frozen", 1
			ratelimited(&q, "300/15m:20", 19.99, time.Second)
		default:
			switch i % 4 {
			case 0:
				q.Waiting = int64(i)
				ratelimited(&q, "100/1s:10", 0.5, 5*time.Millisecond)
			case 1:
				q.Scheduled = 1
			}
		}
		queues = append(queues, q)
	}
	workers := []scheduler.Worker{
		{ID: "web-1-4711-0a1b2c", Host: "web-1", Pools: []string{"default"}, Slots: map[string]int{"echo": 64, "http": 8}, Down: []string{"http"}, Running: 64, Version: "1.2.3", ConfigHash: "0123456789ab", Beat: noon.Add(-300 * time.Millisecond), LeaseEnds: noon.Add(9 * time.Second)},
		{ID: "web-2-4712-3d4e5f", Host: "web-2", Pools: []string{"default", "bulk"}, Slots: map[string]int{"echo": 64}, Version: "1.2.3", ConfigHash: "0123456789ab", Beat: noon.Add(-14 * time.Second), LeaseEnds: noon.Add(-4 * time.Second)},
	}
	s := newSnapshot(queues, workers, noon)
	s.namespace, s.interval = "acme", time.Second
	s.progress = []scheduler.Progress{
		{Task: "emails-0f3k9", Queue: "emails", Percent: 40, Note: "4 of 10 parts sent", At: noon.Add(-2 * time.Second), Fence: 7},
		{Task: "order-4711", Queue: "greedy", Percent: 100, At: noon.Add(-5 * time.Second), Fence: 3},
	}
	for i := range s.queues {
		s.queues[i].reached = 0
		if s.queues[i].Running > 0 {
			s.queues[i].reached = float64(s.queues[i].Running) / 3
		}
	}
	return s
}

// goldenScreen is golden for text whose spaces matter.
func goldenScreen(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got\n%s\nwant\n%s", path, got, want)
	}
}

func TestMonitorScreens(t *testing.T) {
	t.Parallel()
	for _, size := range []struct{ width, height int }{{80, 24}, {200, 50}} {
		for _, queues := range []int{5, 2000} {
			lines := render(picture(queues), size.width, size.height)
			goldenScreen(t, fmt.Sprintf("monitor-%dx%d-%d.txt", size.width, size.height, queues), strings.Join(lines, "\n")+"\n")
		}
	}
	empty := newSnapshot(nil, nil, noon)
	empty.namespace, empty.interval, empty.trouble = "acme", time.Minute, "redis: connection \x1b[2Jrefused"
	goldenScreen(t, "monitor-empty.txt", strings.Join(render(empty, 80, 24), "\n")+"\n")
}

// Whatever the size, a screen is not larger than that, and nothing steers the terminal.
func TestMonitorFitsEverySize(t *testing.T) {
	t.Parallel()
	for _, queues := range []int{0, 1, 5, 40} {
		s := picture(queues)
		for width := 1; width < 220; width += 9 {
			for height := 1; height < 60; height += 1 + height/8 {
				lines := render(s, width, height)
				if len(lines) > height {
					t.Fatalf("%d lines at %dx%d", len(lines), width, height)
				}
				for _, line := range lines {
					if length(line) > width || strings.ContainsAny(line, "\n\x1b") {
						t.Fatalf("%q at %dx%d", line, width, height)
					}
				}
			}
		}
	}
}

func TestMonitorHints(t *testing.T) {
	t.Parallel()
	want := []string{
		`no live worker serves handler "post", and 12,345 tasks wait in letters-to-the-whole-country; start one: throttlerd run`,
		`handler "http" is down on web-1-4711-0a1b2c: throttlectl handler show http`,
		`all slots of handler "echo" are taken, and 300 tasks wait in greedy while tokens go unused; raise its concurrency, or start another worker`,
		`worker web-2-4712-3d4e5f was last heard of 14s ago and has lost its lease; its tasks are taken back`,
		`9 tasks wait in paused queues: held; throttlectl queue resume`,
		`upstream said slow down: throttled frozen, for up to 9s`,
		`2 dead tasks in throttled: throttlectl dead list`,
	}
	s := picture(5)
	got := s.hints()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	quiet := newSnapshot(nil, nil, noon)
	if h := quiet.hints(); len(h) != 0 {
		t.Errorf("%q", h)
	}
	if got := some([]string{"a", "b", "c", "d", "e"}); got != "a, b, c and 2 more" {
		t.Error(got)
	}
}

// Queues under several limits: what binds, places, an override, keys, and their hints.
func TestMonitorOfLimits(t *testing.T) {
	t.Parallel()
	frozen, dear, capped := pictured(), pictured(), pictured()
	frozen.Name, frozen.Binding = "frozen", &scheduler.Binding{Limit: `limit "github"`, Why: "frozen", Need: 1, Next: noon.Add(9 * time.Second)}
	dear.Name, dear.BlockedBy, dear.Binding = "dear", "never", &scheduler.Binding{Limit: `limit "openai"`, Why: "never", Need: 1200}
	capped.Name, capped.BlockedBy, capped.Binding, capped.Key, capped.Limits = "capped", "concurrency", &scheduler.Binding{Limit: "queue", Why: "concurrency", Need: 1}, nil, nil
	s := newSnapshot([]scheduler.Queue{pictured(), frozen, dear, capped}, picturedWorkers(), noon)
	s.namespace, s.interval = "acme", time.Second
	for _, size := range []struct{ width, height int }{{200, 50}, {80, 24}} {
		for i := range s.queues {
			s.queues[i].Override.Until = time.Now()
			if size.width == 80 {
				s.queues[i].Override = nil // half a clock would stand there
			}
		}
		text := clockForm.ReplaceAllString(strings.Join(render(s, size.width, size.height), "\n"), "hh:mm:ss")
		goldenScreen(t, fmt.Sprintf("monitor-%dx%d-limits.txt", size.width, size.height), text+"\n")
	}
}

var clockForm = regexp.MustCompile(`\d\d:\d\d:\d\d`)

func TestMonitorNumbers(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 9999: "9999", 10_000: "10.0k", 123_456: "123k", 1_234_567: "1.2M", 2_000_000_000: "2.0G"} {
		if got := number(n, false); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
	for v, want := range map[float64]string{0: "0", 0.1666: "0.17", 9.994: "9.99", 45.26: "45.3", 999.6: "1000", 12_345: "12.3k"} {
		if got := perSecond(v); got != want {
			t.Errorf("%v is %s, want %s", v, got, want)
		}
	}
}

func TestMonitorStreams(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.queue("q", "echo", "")
	s := b.worker("w1", map[string]int{"echo": 4})
	b.submit("q", "{}")
	follow := func(stopAt int, args ...string) []string {
		ctx, cancel := context.WithCancel(b.ctx())
		defer cancel()
		out := &lineCounter{at: stopAt, then: cancel, each: func(n int) {
			if n == 1 { // between the first sample and the second
				for range 3 {
					b.submit("q", "{}")
				}
				b.claim(s, "echo", 4)
			}
		}}
		var text bytes.Buffer
		a := newApp(append([]string{"--redis-url", b.server.URL(), "monitor", "--interval", "100ms"}, args...), nil, out, &text)
		a.base = ctx
		if code := a.run(); code != 0 || text.Len() > 0 {
			t.Errorf("exit %d: %s", code, text.String())
		}
		return strings.Split(strings.TrimSpace(out.String()), "\n")
	}
	lines := follow(2)
	contains(t, lines[0], "healthy  workers 1  queues 1  waiting 1  scheduled 0  running 0  dead 0  done 0  failed 0")
	contains(t, lines[1], "waiting 0  scheduled 0  running 4", "starts/s ")
	lines = follow(3, "--json")
	var v struct {
		Namespace string
		Health    healthView
		Totals    totals
		Workers   []map[string]any
		Queues    []map[string]any
		Hints     []string
	}
	if err := json.Unmarshal([]byte(lines[1]), &v); err != nil || len(lines) != 3 {
		t.Fatalf("%v in %d lines", err, len(lines))
	}
	if v.Namespace != "throttle" || v.Health.Workers != 1 || v.Totals.Running != 7 || v.Totals.StartsPerSecond == nil || len(v.Workers) != 1 || v.Hints == nil {
		t.Errorf("%+v", v)
	}
	if q := v.Queues[0]; q["name"] != "q" || q["starts_per_second"] == nil || q["waiting"] == nil {
		t.Errorf("%v", q)
	}
	b.submit("q", "{}")
	out := b.ok("monitor", "--once", "--interval", "100ms")
	contains(t, out, "throttlectl monitor  throttle  ", "HEALTHY", "STARTS/S", "! all slots of handler \"echo\" are taken")
	if out = b.ok("--json", "monitor", "--once", "--interval", "100ms"); strings.Count(out, "\n") != 1 {
		t.Error(out)
	}
	b.mistakes([]mistake{
		{"monitor --interval 10ms", 2, "usage", "--interval 10ms must be 100ms to 1h"},
		{"monitor --interval 2h", 2, "usage", "must be 100ms to 1h"},
		{"monitor --interval 1", 2, "usage", `did you mean "1s"?`},
		{"monitor emails", 2, "usage", "too many arguments"},
		{"--redis-url redis://127.0.0.1:1/0 --timeout 100ms monitor", 5, "unreachable", "is not reachable"},
	})
}

// lineCounter is an output that ends the command after some lines.
type lineCounter struct {
	bytes.Buffer
	n, at int
	then  func()
	each  func(n int)
}

func (c *lineCounter) Write(p []byte) (int, error) {
	c.n += bytes.Count(p, []byte("\n"))
	c.each(c.n)
	if c.n >= c.at {
		c.then()
	}
	return c.Buffer.Write(p)
}

// A Redis that goes away is told of, and looked for again.
func TestMonitorOutlivesRedis(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx, cancel := context.WithCancel(b.ctx())
	defer cancel()
	stopped := false
	out := &lineCounter{at: 3, then: cancel, each: func(n int) {
		if n == 1 && !stopped {
			stopped = true
			b.server.Stop()
			time.AfterFunc(400*time.Millisecond, b.server.Continue)
		}
	}}
	var text bytes.Buffer
	a := newApp([]string{"--redis-url", b.server.URL(), "monitor", "--interval", "100ms", "--timeout", "150ms"}, nil, out, &text)
	a.base = ctx
	if code := a.run(); code != 0 {
		t.Errorf("exit %d", code)
	}
	contains(t, text.String(), "Warning: ", "trying again")
}
