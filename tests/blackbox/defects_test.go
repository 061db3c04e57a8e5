//go:build linux

package blackbox

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/scheduler"
	"github.com/throttlerd/throttlerd/tests/proc"
)

// The tests that docs/defects.md names and that fit no other file: each fails where a
// defect of celery-throttle would be here.

// here are the flags that lead throttlectl to the site.
func (s *site) here(args ...string) []string {
	return append(args, "--redis-url", s.redis.URL(), "--namespace", namespace)
}

// get runs throttlectl with --json and reads what it prints.
func get[T any](s *site, args ...string) (v T) {
	s.Helper()
	r := proc.Ctl(s, s.here(append(args, "--json")...)...)
	if err := json.Unmarshal([]byte(r.Stdout), &v); err != nil || r.Code != 0 {
		s.Fatalf("%v: code %d, %v\n%s%s", args, r.Code, err, r.Stdout, r.Stderr)
	}
	return v
}

// throughout demands that something holds all the time, for so long.
func throughout(tb testing.TB, span time.Duration, what string, holds func() bool) {
	tb.Helper()
	began := time.Now()
	proc.Eventually(tb, span+10*time.Second, what, func() bool {
		if !holds() {
			tb.Fatalf("not any more after %v: %s", time.Since(began), what)
		}
		return time.Since(began) > span
	})
}

// Who submits while others wait goes behind them, also when it is just then that a token
// comes.
func TestNewTasksDoNotJumpTheQueue(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	proc.Worker(t, s.file(s.echo(), queue("calls", `rate = "20/1s"`)))
	order := s.submit("calls", 12, "{}")
	for n := 1; n <= 12; n++ {
		s.journal.WaitStarts(n, 10*time.Second)
		order = append(order, s.submit("calls", 1, "{}")...)
	}
	starts := s.journal.WaitStarts(len(order), 10*time.Second)
	slices.SortFunc(starts, byGrant) // on a busy machine a handler may be entered later
	var ran []string
	for _, e := range starts {
		ran = append(ran, e.Task)
	}
	if !slices.Equal(ran, order) {
		t.Errorf("submitted %v\nstarted   %v", order, ran)
	}
	s.bound("20/1s", starts)
}

// The limit is on the start of a run. What piled up while no worker was there does not
// come in a burst, and a retry takes a token as a first run does.
func TestLimitIsOnStartsAndRetries(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := s.file(s.echo(), queue("calls", `rate = "20/1s:2"`, "retry {\nmax_attempts = 3\nmin = \"1ms\"\nmax = \"1ms\"\n}"))
	s.stop(proc.Worker(t, file), 10*time.Second) // the queue is there, and nobody who serves it
	s.submit("calls", 20, `{"fail": "boom"}`)
	submitted := s.show("calls").At
	proc.Eventually(t, 10*time.Second, "a second has passed", func() bool { return s.show("calls").At.Sub(submitted) > time.Second })
	for range 3 {
		proc.Worker(t, file)
	}
	starts := s.journal.WaitStarts(60, 20*time.Second)
	proc.Eventually(t, 5*time.Second, "all tasks are dead", func() bool { return s.show("calls").Dead == 20 })
	s.bound("20/1s:2", starts)
	if q := s.show("calls"); q.TokensSpent-q.TokensWasted != 60 || q.Failed != 60 {
		t.Errorf("60 runs: %+v", q)
	}
}

// A handler that nobody serves, and a payload that is no JSON, lose neither task nor token.
func TestUnknownHandlerAndPayloadLoseNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	first := proc.Worker(t, s.file(s.echo(), queue("other")))
	spec := scheduler.DefaultQueue("late")
	spec.Rates = ratelimit.Rates{{N: 1, Period: time.Hour, Burst: 4}}
	_, err := s.client.CreateQueue(s.ctx(), "calls", spec)
	s.must(err)
	ids := append(s.submit("calls", 2, "{}"), s.submit("calls", 1, `{"task": `)...)
	s.waitState(s.submit("other", 1, "{}")[0], "done", 5*time.Second)
	throughout(t, 1500*time.Millisecond, "the tasks wait", func() bool { // longer than a tick
		q := s.show("calls")
		return q.Waiting == 3 && q.TokensSpent == 0
	})
	for _, worker := range get[[]struct{ ID string }](s, "worker", "list") {
		if worker.ID != first.ID() {
			t.Errorf("worker %s", worker.ID)
		}
	}
	late := strings.Replace(s.echo(), `handler "echo" {`, "handler \"late\" {\nplugin = \"echo\"", 1)
	proc.Worker(t, s.file(`owner = "late"`, late))
	for _, id := range ids {
		s.waitState(id, "done", 5*time.Second)
	}
	if q := s.show("calls"); q.TokensSpent != 3 || q.TokensWasted != 0 {
		t.Errorf("%+v", q)
	}
}

// A queue that is missing is an error of its own, for one task and for a file of them.
func TestMissingQueueIsAnError(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	lines := filepath.Join(t.TempDir(), "lines")
	s.must(os.WriteFile(lines, []byte("{}\n{}\n"), 0o600))
	for _, args := range [][]string{
		{"submit", "emails", "{}"}, {"submit", "emails", "--file", lines}, {"queue", "test", "emails", "3"},
	} {
		r := proc.Ctl(t, s.here(args...)...)
		if r.Code != 3 || r.Stdout != "" || !strings.Contains(r.Stderr, `no queue "emails" in namespace "bb"`) {
			t.Errorf("%v: code %d, stdout %q, stderr:\n%s", args, r.Code, r.Stdout, r.Stderr)
		}
	}
	if keys := s.rdb.Keys(s.ctx(), "*").Val(); len(keys) > 0 {
		t.Errorf("tasks for a queue that is missing wrote %v", keys)
	}
}

// Where the clocks of workers and commands are off against that of Redis, limits, delays,
// leases and numbers are as ever: only Redis is asked what time it is.
func TestClocksOfClientsDoNotCount(t *testing.T) {
	t.Parallel()
	proc.Ctl(t, "version") // builds it
	for name, off := range map[string]time.Duration{
		"an hour slow": time.Hour, "5s slow": 5 * time.Second, "5s fast": -5 * time.Second, "an hour fast": -time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			// what scripts see is TIME plus this, so that all others are off by as much
			s.must(s.rdb.HSet(s.ctx(), "{"+namespace+"}:clock", "off", off.Microseconds()).Err())
			file := s.file(`lease = "3s"`, s.echo(), queue("calls", `rate = "20/1s:5"`), queue("later"))
			workers := []*proc.Process{proc.Worker(t, file), proc.Worker(t, file)}
			ids := s.submit("calls", 30, "{}")
			delayed, err := s.client.Submit(s.ctx(), scheduler.SubmitRequest{Queue: "later", In: 500 * time.Millisecond})
			s.must(err)
			running := s.submit("later", 1, `{"sleep": "5s"}`)[0] // longer than a lease

			s.journal.WaitStarts(32, 10*time.Second)
			s.waitDone("calls", 30, 5*time.Second)
			var grants []int64
			for _, e := range s.journal.Starts(proc.OfQueue("calls")) {
				grants = append(grants, e.GrantUs)
				if late := time.UnixMicro(e.StartUs).Add(off).Sub(time.UnixMicro(e.GrantUs)); late < 0 || late > time.Second {
					t.Errorf("task %s started %v after its grant", e.Task, late)
				}
			}
			s.must(ratelimit.Check(ratelimit.Rate{N: 20, Period: time.Second, Burst: 5}, ratelimit.Grants(grants...)))
			if span := time.Duration(slices.Max(grants)-slices.Min(grants)) * time.Microsecond; span > 2*time.Second {
				t.Errorf("30 tasks at 20/1s:5 took %v, not 1.25s", span)
			}
			start := s.journal.Starts(proc.OfTask(delayed.ID))[0]
			if late := time.UnixMicro(start.StartUs).Add(off).Sub(delayed.EarliestStart); late < 0 || late > time.Second {
				t.Errorf("a delayed task started %v after its instant", late)
			}
			q := get[struct {
				Tokens float64
				Next   float64 `json:"next_token_in_seconds"`
			}](s, "queue", "show", "calls")
			if q.Tokens < 0 || q.Tokens > 5 || q.Next < 0 || q.Next > 0.05 {
				t.Errorf("%+v", q)
			}
			for _, w := range get[[]struct {
				ID   string
				Live bool
				Ends float64 `json:"lease_ends_in_seconds"`
				Age  float64 `json:"heartbeat_age_seconds"`
			}](s, "worker", "list") {
				if !w.Live || w.Ends < 0 || w.Ends > 3 || w.Age < 0 || w.Age > 3 {
					t.Errorf("%+v", w)
				}
			}
			s.waitState(running, "done", 10*time.Second)
			s.once(append(ids, delayed.ID, running))
			for _, w := range workers {
				if strings.Contains(w.Log(), "lease lost") || w.Exited() {
					t.Error("a worker lost its lease")
				}
			}
		})
	}
}

// Without an answer, and with any answer but a grant, nothing starts; a status that
// cannot be read is an error, not a number.
func TestNothingStartsWithoutRedis(t *testing.T) {
	t.Parallel()
	proc.Ctl(t, "version") // builds it
	for _, c := range []struct {
		name       string
		fail, heal func(s *site)
	}{
		{"stands still", func(s *site) { s.redis.Stop() }, func(s *site) { s.redis.Continue() }},
		{"takes no writes", func(s *site) { s.must(s.rdb.ReplicaOf(s.ctx(), "127.0.0.1", "1").Err()) },
			func(s *site) { s.must(s.rdb.ReplicaOf(s.ctx(), "NO", "ONE").Err()) }},
		{"answers with errors", func(s *site) {
			for _, command := range []string{"-eval", "-evalsha"} {
				s.must(s.rdb.ACLSetUser(s.ctx(), "default", command).Err())
			}
		}, func(s *site) { s.must(s.rdb.ACLSetUser(s.ctx(), "default", "+@all").Err()) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			file := s.file(s.echo(), queue("calls", `rate = "50/1s:5"`))
			proc.Worker(t, file)
			proc.Worker(t, file)
			ids := s.submit("calls", 150, "{}")
			limiter, err := ratelimit.NewLimiter(s.rdb, ratelimit.Options{Namespace: namespace})
			s.must(err)
			s.must(limiter.Set(s.ctx(), "api", ratelimit.Rate{N: 1000, Period: time.Second, Burst: 1000}))
			s.journal.WaitStarts(20, 10*time.Second)

			c.fail(s)
			failed := time.Now()
			proc.Eventually(t, 5*time.Second, "what had been granted has started", func() bool { return time.Since(failed) > 500*time.Millisecond })
			n := len(s.journal.Starts())
			if n > 20+5+50 { // a burst, and a second of the rate
				t.Errorf("%d starts", n)
			}
			throughout(t, 1500*time.Millisecond, "nothing starts", func() bool { return len(s.journal.Starts()) == n })
			if d, err := limiter.Take(s.ctx(), "api", 1); err == nil || d.Granted {
				t.Errorf("the limiter grants: %+v", d)
			}
			r := proc.Ctl(t, s.here("queue", "show", "calls", "--json", "--timeout", "300ms")...)
			if readable := c.name == "takes no writes"; (r.Code == 0) != readable || (r.Stdout == "") == readable {
				t.Errorf("code %d, stdout %q, stderr %s", r.Code, r.Stdout, r.Stderr)
			}
			c.heal(s)
			s.waitDone("calls", 150, 20*time.Second)
			s.once(ids)
			s.bound("50/1s:5", s.journal.Starts())
		})
	}
}

// Each task is counted where it is, in every state, and each failed run.
func TestCountsFollowTheTasks(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	proc.Worker(t, s.file(s.echo(), queue("calls", `rate = "1000/1s:1000"`, `timeout = "10m"`, "retry {\nmax_attempts = 2\nmin = \"1ms\"\nmax = \"1ms\"\n}")))
	s.submit("calls", 2, "{}")
	s.submit("calls", 1, `{"fail": "boom"}`)
	s.submit("calls", 1, `{"sleep": "5m"}`)
	_, err := s.client.Submit(s.ctx(), scheduler.SubmitRequest{Queue: "calls", In: time.Hour})
	s.must(err)
	proc.Eventually(t, 10*time.Second, "what can run has run", func() bool {
		q := s.show("calls")
		return q.Completed == 2 && q.Dead == 1 && q.Running == 1
	})
	s.must(s.client.Pause(s.ctx(), "calls"))
	s.submit("calls", 700, "{}")
	type counts struct {
		Waiting, Scheduled, Running, Dead int
		Completed                         int `json:"completed_total"`
		Failed                            int `json:"failed_total"`
		Spent                             int `json:"tokens_spent_total"`
	}
	want := counts{Waiting: 700, Scheduled: 1, Running: 1, Dead: 1, Completed: 2, Failed: 2, Spent: 5}
	if got := get[counts](s, "queue", "show", "calls"); got != want {
		t.Errorf("show: %+v, want %+v", got, want)
	}
	if got := get[[]counts](s, "queue", "list"); len(got) != 1 || got[0] != want {
		t.Errorf("list: %+v, want %+v", got, want)
	}
	if got := get[[]struct{ Running int }](s, "worker", "list"); len(got) != 1 || got[0].Running != 1 {
		t.Errorf("workers: %+v", got)
	}
	s.audit("calls", nil)
	text := proc.Ctl(t, s.here("queue", "show", "calls")...).Stdout
	for _, line := range []string{"waiting +700", "running +1", "dead +1", "completed +2", "failed runs +2"} {
		if !regexp.MustCompile(`(?m)^` + line + `$`).MatchString(text) {
			t.Errorf("no %q in\n%s", line, text)
		}
	}
}

// A bad rate is one sentence and an exit code, and the queue stays as it was.
func TestUpdateWithABadRate(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	spec := scheduler.DefaultQueue("echo")
	spec.Rates = ratelimit.Rates{{N: 10, Period: time.Minute, Burst: 5}}
	_, err := s.client.CreateQueue(s.ctx(), "calls", spec)
	s.must(err)
	for _, rate := range []string{"bad", "", "10", "10/", "/1s", "0/1s", "-1/1s", "1.5/1s", "10/0s", "10/1s:0", "10/1M", "1e9/1s", "99999999999999999999/1s", "١٠/1s", "10/1s\n"} {
		r := proc.Ctl(t, s.here("queue", "update", "calls", "--rate", rate)...)
		if r.Code != 2 || r.Stdout != "" || strings.Count(r.Stderr, "\n") != 1 || !strings.HasPrefix(r.Stderr, "Error: rate") {
			t.Errorf("%q: code %d, stdout %q, stderr:\n%s", rate, r.Code, r.Stdout, r.Stderr)
		}
	}
	if q := s.show("calls"); !q.QueueSpec.Equal(spec) {
		t.Errorf("%+v", q)
	}
}

// A payload that is no JSON is refused when it is submitted: with a token there, without
// one, and while the queue is paused.
func TestPayloadThatIsNoJSON(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	spec := scheduler.DefaultQueue("echo")
	spec.Rates = ratelimit.Rates{{N: 1, Period: time.Hour, Burst: 1}}
	for _, name := range []string{"free", "throttled", "held"} {
		_, err := s.client.CreateQueue(s.ctx(), name, spec)
		s.must(err)
	}
	s.submit("throttled", 3, "{}")
	s.must(s.client.Pause(s.ctx(), "held"))
	bad := filepath.Join(t.TempDir(), "bad")
	s.must(os.WriteFile(bad, []byte("{}\ndatetime(2026, 1, 1)\n"), 0o600))
	for queue, waiting := range map[string]int64{"free": 0, "throttled": 3, "held": 0} {
		for _, args := range [][]string{{"submit", queue, "{1, 2}"}, {"submit", queue, "@" + bad}, {"submit", queue, "--file", bad}} {
			r := proc.Ctl(t, s.here(args...)...)
			if r.Code != 7 || r.Stdout != "" || !strings.Contains(r.Stderr, "JSON") {
				t.Errorf("%v: code %d, stdout %q, stderr:\n%s", args, r.Code, r.Stdout, r.Stderr)
			}
		}
		if n := s.show(queue).Waiting; n != waiting {
			t.Errorf("queue %s: %d tasks wait, not %d", queue, n, waiting)
		}
	}
}

// Every instant has its zone, whatever zone a command or a worker runs in.
func TestInstantsHaveTheirZone(t *testing.T) {
	t.Parallel()
	proc.Ctl(t, "version") // builds it
	s := newSite(t)
	a := accessRun{site: s, file: s.file(s.echo(), queue("calls")), env: []string{"TZ=Asia/Kathmandu"}} // +05:45
	a.worker()
	at := time.Now().Add(time.Hour).Truncate(time.Second)
	done := a.get("submit", "calls", "{}")["id"].(string)
	later := a.get("submit", "calls", "{}", "--at", at.In(time.FixedZone("", 5*3600)).Format(time.RFC3339))["id"].(string)
	s.waitState(done, "done", 5*time.Second)
	instants := 0
	for _, args := range [][]string{
		{"task", "show", done}, {"task", "show", later}, {"task", "list"}, {"queue", "list"}, {"worker", "list"},
	} {
		r := a.ctl(append(args, "--json")...)
		for _, text := range regexp.MustCompile(`"\d{4}-\d\d-\d\d[^"]*"`).FindAllString(r.Stdout, -1) {
			instants++
			got, err := time.Parse(`"`+time.RFC3339+`"`, text)
			if err != nil || time.Until(got).Abs() > time.Minute && !got.Equal(at) {
				t.Errorf("%v: %s: %v", args, text, err)
			}
		}
	}
	if instants < 10 {
		t.Errorf("only %d instants were found", instants)
	}
	if r := a.ctl("submit", "calls", "--at", at.Format("2006-01-02T15:04:05")); r.Code != 2 || !strings.Contains(r.Stderr, "zone") {
		t.Errorf("an instant without a zone: code %d, %s", r.Code, r.Stderr)
	}
}

// A file, the environment and flags go together: each says what it says, and the rest
// comes from the others.
func TestFileEnvironmentAndFlagsTogether(t *testing.T) {
	t.Parallel()
	proc.Ctl(t, "version") // builds it
	s := newSite(t)
	file := filepath.Join(t.TempDir(), "config.hcl")
	const nowhere = "redis://192.0.2.1:1/0"
	s.must(os.WriteFile(file, fmt.Appendf(nil, "namespace = \"of-file\"\nplugin_dir = %q\nlease = \"7s\"\nconcurrency = 5\nredis { url = %q }\n%s%s%s",
		proc.Build(t).PluginDir, nowhere, s.echo(), queue("calls"), queue("far", `pool = "far"`)), 0o600))
	env := []string{"THROTTLE_REDIS_URL=" + s.redis.URL(), "THROTTLE_NAMESPACE=" + namespace, "THROTTLE_POOL=far", "THROTTLE_CONCURRENCY=3"}

	// both flags with -c; the environment with -c; the environment alone
	for _, c := range []struct {
		env  []string
		args []string
		in   string
	}{
		{nil, []string{"-c", file, "--redis-url", s.redis.URL(), "--namespace", "of-flag"}, "of-flag"},
		{nil, []string{"-c", file, "--redis-url", s.redis.URL()}, "of-file"},
		{env[:1], []string{"-c", file}, "of-file"},
		{env, []string{"-c", file}, namespace},
		{env, nil, namespace},
		{env, []string{"--namespace", "of-flag"}, "of-flag"},
	} {
		r := accessRun{site: s, env: c.env}.run("throttlectl", append(c.args, "queue", "show", "none", "--timeout", "2s")...)
		if r.Code != 3 || !strings.Contains(r.Stderr, fmt.Sprintf(`in namespace %q`, c.in)) {
			t.Errorf("%v with %v: code %d, %s; want namespace %s", c.args, c.env, r.Code, r.Stderr, c.in)
		}
	}

	// a worker: the namespace and Redis of the environment, the lease of the file, and
	// the concurrency of each in turn
	held := 0
	for _, c := range []struct {
		env   []string
		args  []string
		slots int
		queue string
	}{
		{env[:2], nil, 5, "calls"}, // the file's; without --pool or --queue it serves pool default
		{env, nil, 3, "far"},
		{env, []string{"--concurrency", "2", "--pool", "default"}, 2, "calls"},
	} {
		log := new(proc.Output)
		cmd := command(t, c.env, "throttlerd", append([]string{"run", "-c", file}, c.args...)...)
		cmd.Stdout, cmd.Stderr = log, log
		s.must(cmd.Start())
		end := func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("throttlerd printed:\n%s", log)
			}
		})
		t.Cleanup(end)
		proc.Eventually(t, 15*time.Second, "the worker serves", func() bool { return strings.Contains(log.String(), "worker serves") })
		s.submit(c.queue, 8, `{"sleep": "5m"}`)
		s.journal.WaitStarts(held+c.slots, 10*time.Second)
		held += c.slots
		throughout(t, 200*time.Millisecond, "no more tasks run", func() bool { return len(s.journal.Starts()) == held })
		if w := s.worker(); w.Lease != 7*time.Second || w.Running != c.slots {
			t.Errorf("%v: %+v", c.args, w)
		}
		end()
		// its tasks are of no more interest, nor is it
		s.must(s.rdb.FlushDB(s.ctx()).Err())
	}
}

// No key is outside of the namespace, and none expires.
func TestEveryKeyIsInTheNamespace(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	w := proc.Worker(t, s.file(s.echo(), queue("calls", `rate = "100/1s:10"`)))
	s.submit("calls", 20, "{}")
	s.submit("calls", 1, `{"sleep": "200ms"}`)
	s.waitDone("calls", 21, 10*time.Second)
	s.stop(w, 10*time.Second)
	keys := s.rdb.Keys(s.ctx(), "*").Val()
	if len(keys) < 5 {
		t.Fatalf("keys %v", keys)
	}
	for _, k := range keys {
		if !strings.HasPrefix(k, "{"+namespace+"}:") {
			t.Errorf("key %q", k)
		}
		if ttl := s.rdb.TTL(s.ctx(), k).Val(); ttl != -1 {
			t.Errorf("key %q expires in %v", k, ttl)
		}
	}
}
