package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/scheduler"
	"github.com/throttlerd/throttlerd/tests/redistest"
)

var healthyChecks = []string{"config", "redis", "clock", "version", "role", "appendonly", "maxmemory-policy", "scripts",
	"workers", "config-hash", "handlers", "served", "held", "never", "dead", "frozen", "limits"}

// examined runs doctor as text and with --json, and demands that both say the same, and the
// exit code of the worst.
func (b *bench) examined(args ...string) []finding {
	b.t.Helper()
	return examined(b.t, append([]string{"--redis-url", b.server.URL()}, args...)...)
}

func examined(t *testing.T, args ...string) (found []finding) {
	t.Helper()
	text := run("", append(args, "doctor")...)
	r := run("", append(args, "doctor", "--json")...)
	decode(t, r.out, &found)
	want, word := 0, ""
	for _, f := range found {
		switch {
		case f.Status != "fail":
		case f.Check == "config":
			want, word = 7, "invalid"
		case f.Check == "redis" && strings.Contains(f.Found, "is not reachable"):
			want, word = 5, "unreachable"
		default:
			want, word = 1, "failed"
		}
	}
	if text.code != want || r.code != want || strings.Count(text.out, "\n") != len(found) || (want == 0) != (text.err+r.err == "") {
		t.Errorf("exit %d and %d, want %d\n%s%s%s", text.code, r.code, want, text.out, text.err, r.err)
	}
	if want != 0 {
		contains(t, text.err, "Error: ")
		contains(t, r.err, `{"error":{"code":"`+word+`"`, "failed: ")
	}
	lines := strings.Split(text.out, "\n")
	for i, f := range found {
		if words := strings.Fields(lines[i]); words[0] != f.Status || words[1] != f.Check || f.Status == "ok" && f.Right != nil {
			t.Errorf("%+v is %s", f, lines[i])
		}
	}
	return found
}

// finds demands one finding of a check, with a status and texts in what is printed of it.
func finds(t *testing.T, found []finding, status, check string, says ...string) {
	t.Helper()
	for _, f := range found {
		if f.Check != check || f.Status != status {
			continue
		}
		if !slices.ContainsFunc(says, func(s string) bool { return !strings.Contains(f.text(), s) }) {
			return
		}
	}
	text, _ := json.MarshalIndent(found, "", " ")
	t.Errorf("no %s of %s that says %q in\n%s", status, check, says, text)
}

// file writes a configuration on the bench's Redis.
func (b *bench) file(text string) string {
	b.t.Helper()
	path := filepath.Join(b.t.TempDir(), "config.hcl")
	b.must(os.WriteFile(path, []byte("redis { url = \""+b.server.URL()+"\" }\n"+text), 0o600))
	return path
}

func TestDoctorFindsAllWell(t *testing.T) {
	t.Parallel()
	b := newBench(t, redistest.WithAOF())
	b.queue("emails", "smtp", "10/1s")
	b.worker("w1", map[string]int{"smtp": 8})
	b.submit("emails", "{}")
	var checks []string
	for _, f := range b.examined() {
		if checks = append(checks, f.Check); f.Status != "ok" {
			t.Errorf("%+v", f)
		}
	}
	if !slices.Equal(checks, healthyChecks) {
		t.Errorf("%q", checks)
	}
	contains(t, b.ok("doctor"), "ok  config            no file; with -c FILE", "ok  appendonly        yes\n", "ok  workers           1 live worker\n")
}

// What waits for nobody is found, with the command that helps.
func TestDoctorFindsWhatWaits(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, q := range []string{"alone", "down", "paused", "works"} {
		b.queue(q, q, "")
		b.submit(q, "{}")
	}
	finds(t, b.examined(), "warn", "workers", `none takes tasks in namespace "throttle"`, "throttlerd run")
	b.ok("queue", "pause", "paused")
	s := b.worker("w1", map[string]int{"works": 8, "down": 1})
	b.must(s.Announce(b.ctx(), func(w *scheduler.Worker) {
		w.Down = []string{"down"}
		w.States = []scheduler.HandlerState{{Handler: "down", Processes: []scheduler.ProcessState{{Phase: "failing"}}, LastError: "exited with code 3"}}
	}))
	contains(t, b.ok("queue", "show", "down"), `blocked by    handler "down" is down`,
		`1 task waits: handler "down" is down on 1 live worker that could run it: failing: exited with code 3. See: throttlectl handler show down`)
	contains(t, b.ok("queue", "list"), `handler "down" is down`)
	other, err := b.Register(b.ctx(), scheduler.Worker{ID: "w2", Slots: map[string]int{"works": 1}, Pools: []string{"default"}, Lease: time.Minute, ConfigHash: "ba9876543210"})
	b.must(err)
	b.settle(s, b.claim(s, "works", 1)[0], scheduler.Dead, "550", 0)

	b.ok("limit", "set", "github", "--rate", "1/1s")
	b.ok("limit", "set", "stripe", "--rate", "1/1s:9")
	b.ok("queue", "create", "unlimited", "--name", "calls", "--handler", "works", "--limit", "github", "--limit", "stripe")
	g := b.submit("calls", "{}")
	b.settle(s, b.claim(s, "works", 1)[0], scheduler.Throttled, "429", time.Hour.Microseconds())
	rdb := b.server.Client()
	defer rdb.Close()
	b.must(rdb.HSet(b.ctx(), "{throttle}:l:stripe", "frozen", time.Now().Add(time.Hour).UnixMicro()).Err())
	b.must(rdb.Del(b.ctx(), "{throttle}:l:github").Err())
	b.must(rdb.ZRem(b.ctx(), "{throttle}:l", "github").Err())

	found := b.examined()
	finds(t, found, "fail", "served", `no live worker serves handler "alone", and 1 task waits in alone; start one: throttlerd run`)
	finds(t, found, "fail", "handlers", `handler "down" is down on w1 (failing: exited with code 3), and 1 task waits in down; throttlectl handler show down`)
	finds(t, found, "warn", "held", "1 task waits in paused queues: paused; throttlectl queue resume")
	finds(t, found, "warn", "config-hash", `workers of handler "works" differ: 0123456789ab on w1, ba9876543210 on w2; SIGHUP`)
	finds(t, found, "warn", "dead", "1 dead task in works; throttlectl dead list")
	finds(t, found, "warn", "frozen", `limit "stripe", for `, "throttlectl limit reset stripe")
	finds(t, found, "warn", "frozen", "upstream said slow down: calls frozen")
	finds(t, found, "fail", "limits", `no limit "github", and nothing starts of what names it: calls; throttlectl limit set github --rate RATE`)
	finds(t, found, "ok", "workers", "2 live workers")
	if v := b.explained(g.ID); v.Reason != "no_limit" || v.Steps[0].Command != "throttlectl limit set github --rate RATE" {
		t.Errorf("%+v", v)
	}
	b.ok("limit", "set", "github", "--rate", "1/1s")
	if v := b.explained(g.ID); v.Reason != "frozen" {
		t.Errorf("%+v", v)
	}

	b.must(other.Announce(b.ctx(), func(w *scheduler.Worker) { w.Draining, w.ConfigHash = true, "0123456789ab" }))
	b.must(rdb.HIncrBy(b.ctx(), "{throttle}:clock", "off", (20 * time.Second).Microseconds()).Err()) // past the lease of w1
	found = b.examined()
	finds(t, found, "warn", "workers", "worker w1 was last heard of ")
	finds(t, found, "warn", "workers", "none takes tasks")
	finds(t, found, "ok", "config-hash")
}

// Redis as it is set up, and as a user may see it.
func TestDoctorLooksAtRedis(t *testing.T) {
	t.Parallel()
	t.Run("settings", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, redistest.WithArgs("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru", "--replicaof", "127.0.0.1", "1"))
		found := b.examined()
		finds(t, found, "warn", "appendonly", "no: a crash of Redis loses acknowledged tasks; set appendonly yes")
		finds(t, found, "fail", "maxmemory-policy", "allkeys-lru: Redis evicts tasks when it has used 100 MiB; set maxmemory-policy noeviction")
		finds(t, found, "fail", "role", "a replica: it takes no writes; name the master")
		finds(t, examined(t, "-c", b.file(`durability = "strict"`)), "fail", "appendonly", `durability = "strict" demands it`)
	})
	t.Run("rights", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, redistest.WithPort(),
			redistest.WithUser("some", "on", ">secret-1", "~*", "+@all", "-info", "-zrange"), redistest.WithUser("none", "on", ">secret-1", "-@all", "+hello"))
		as := func(user, password string) []finding {
			t.Helper()
			path := filepath.Join(t.TempDir(), "redis")
			b.must(os.WriteFile(path, []byte(password), 0o600))
			config := filepath.Join(t.TempDir(), "config.hcl")
			b.must(os.WriteFile(config, []byte("redis {\nurl = \""+b.server.TCP()+"\"\nusername = \""+user+"\"\npassword_file = \""+path+"\"\n}\n"), 0o600))
			if r := run("", "-c", config, "doctor"); strings.Contains(r.out+r.err, password) {
				t.Errorf("the password is shown:\n%s%s", r.out, r.err)
			}
			return examined(t, "-c", config)
		}
		found := as("some", "secret-1")
		for _, check := range []string{"version", "role", "appendonly", "maxmemory-policy"} {
			finds(t, found, "warn", check, "could not look: NOPERM", "grant INFO to the user in the ACL of Redis")
		}
		for _, check := range []string{"workers", "config-hash", "handlers", "served"} {
			finds(t, found, "warn", check, "could not look: ", "NOPERM")
		}
		finds(t, found, "ok", "scripts")
		finds(t, found, "ok", "held")
		found = as("none", "secret-1")
		finds(t, found, "ok", "redis", "answers")
		finds(t, found, "warn", "clock", "could not look: ", "grant TIME")
		finds(t, found, "fail", "scripts", "NOPERM", "grant EVAL, EVALSHA")
		finds(t, found, "warn", "queues", "could not look at queues, limits and workers")
		finds(t, as("none", "secret-2"), "fail", "redis", "WRONGPASS", "THROTTLE_REDIS_PASSWORD")
	})
	t.Run("nobody there", func(t *testing.T) {
		t.Parallel()
		began := time.Now()
		found := examined(t, "--redis-url", "redis://127.0.0.1:1/0", "--timeout", "200ms")
		finds(t, found, "fail", "redis", "Redis at redis://127.0.0.1:1/0 is not reachable (tried for 200ms)")
		if took := time.Since(began); len(found) != 2 || took > 5*time.Second {
			t.Errorf("%v: %+v", took, found)
		}
	})
	t.Run("no answer", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.server.Stop()
		defer b.server.Continue()
		finds(t, b.examined("--timeout", "200ms"), "fail", "redis", "no answer")
	})
}

// What a file declares is compared with what Redis has.
func TestDoctorComparesTheFile(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	finds(t, examined(t, "-c", b.file(`queue "a" { rat = 1 }`)), "fail", "config", "config.hcl:2", "throttlerd validate")
	finds(t, examined(t, "-c", "nowhere.hcl"), "fail", "config", "nowhere.hcl")
	// a queue that the file has, and Redis not yet
	fresh := b.file("handler \"smtp\" {}\nqueue \"greet\" {}")
	if r := run("", "-c", fresh, "queue", "show", "greet"); r.code != 3 {
		t.Errorf("exit %d", r.code)
	} else {
		contains(t, r.err, `no queue "greet"`, fresh+" declares it: a worker that runs with it makes it when it starts")
	}
	const text = `
owner = "team"
handler "smtp" {}
limit "github" { rate = "10/1s" }
queue "mail" { rate = "10/1m" }
queue "calls" { limits = ["github"] }
`
	file := b.file(text)
	finds(t, examined(t, "-c", file), "warn", "declared", `not declared in Redis: queue "calls", queue "mail", limit "github"`, "throttlerd run -c "+file)
	declare := func(owner string, change func(*scheduler.Declaration)) {
		t.Helper()
		mail, calls := scheduler.DefaultQueue("smtp"), scheduler.DefaultQueue("smtp")
		mail.Rates, calls.Limits = ratesOf("10/1m"), []string{"github"}
		d := scheduler.Declaration{Owner: owner, Queues: map[string]scheduler.QueueSpec{"mail": mail, "calls": calls},
			Limits: map[string]scheduler.LimitSpec{"github": {Rates: ratesOf("10/1s")}}}
		if change != nil {
			change(&d)
		}
		b.must(b.Apply(b.ctx(), d))
	}
	declare("team", nil)
	found := examined(t, "-c", file)
	finds(t, found, "ok", "declared", `for owner "team"`)
	finds(t, found, "ok", "config", "1 handler, 1 limit and 2 queues")
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"queue", "update", "mail", "--timeout", "1m"}, `overridden by hand: queue "mail" (timeout is 1m, the file says 30s)`},
		{[]string{"queue", "update", "mail", "--timeout", "30s"}, ""},
		{[]string{"limit", "set", "github", "--rate", "1/1s", "--for", "1h"}, `overridden by hand: limit "github" (its rate, for a while)`},
		{[]string{"limit", "set", "github", "--rate", "1/1s"}, `overridden by hand: limit "github" (rate is 1/1s, the file says 10/1s)`},
		{[]string{"limit", "set", "github", "--rate", "10/1s"}, ""},
		{[]string{"queue", "pause", "mail"}, `overridden by hand: queue "mail" (paused is yes, the file says no)`},
		{[]string{"queue", "resume", "mail"}, ""},
	} {
		if r := b.run(c.args...); r.code != 0 {
			t.Fatalf("%q: %+v", c.args, r)
		}
		if found := examined(t, "-c", file); c.says == "" {
			finds(t, found, "ok", "declared")
		} else {
			finds(t, found, "warn", "declared", c.says)
		}
	}
	declare("team", func(d *scheduler.Declaration) {
		mail := d.Queues["mail"]
		mail.Rates = ratesOf("20/1m")
		d.Queues["mail"], d.Queues["old"] = mail, scheduler.DefaultQueue("smtp")
	})
	found = examined(t, "-c", file)
	finds(t, found, "warn", "declared", `of another version of the file: queue "mail" (rate 20/1m -> 10/1m); SIGHUP`)
	finds(t, found, "warn", "declared", `in the file no more: queue "old"`)
	finds(t, examined(t, "-c", b.file(strings.Replace(text, "team", "others", 1))), "fail", "declared",
		`declared by another owner: queue "calls" (owner "team"), queue "mail" (owner "team"), limit "github" (owner "team")`)
}

// Of very many, the first are looked at, and that is said; the limits that these queues name
// are found all the same.
func TestDoctorLooksAtTheFirst(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	rates := ratesOf("1/1s")
	for i := range mostLimits + 1 {
		_, err := b.SetLimit(b.ctx(), fmt.Sprintf("l%04d", i), scheduler.LimitChange{Rates: &rates})
		b.must(err)
	}
	b.run("queue", "create", "unlimited", "--name", "calls", "--handler", "http", "--limit", fmt.Sprintf("l%04d", mostLimits))
	if q, err := b.Queue(b.ctx(), "calls"); err != nil || len(q.Limits) != 1 {
		t.Fatal(q, err)
	}
	found := b.examined()
	finds(t, found, "warn", "partial", "only the first 1,000 limits by name were looked at; throttlectl limit list has them all")
	finds(t, found, "ok", "limits")
}

func TestDoctorJudges(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		found  []finding
		status string // "" for nothing
		says   string
	}{
		{clockApart(scheduler.Clock{Ahead: time.Second}), "", ""},
		{clockApart(scheduler.Clock{Ahead: 3 * time.Second}), "warn", "this machine's is 3s behind that of Redis"},
		{clockApart(scheduler.Clock{Ahead: -3 * time.Second}), "warn", "this machine's is 3s ahead of that of Redis"},
		{slow("redis://r", scheduler.Clock{Latency: 20 * time.Millisecond}), "", ""},
		{slow("redis://r", scheduler.Clock{Latency: 21 * time.Millisecond}), "warn", "redis://r answers in 21ms"},
		{versionOf(scheduler.Server{Version: "6.2.0"}), "", ""},
		{versionOf(scheduler.Server{Version: "7.0.15"}), "", ""},
		{versionOf(scheduler.Server{Version: "10.0.1"}), "", ""},
		{versionOf(scheduler.Server{Version: "6.0.16"}), "fail", "6.0.16"},
		{versionOf(scheduler.Server{Version: "5.9"}), "fail", "5.9"},
		{versionOf(scheduler.Server{}), "warn", "does not tell"},
		{roleOf(scheduler.Server{}), "warn", "does not tell"},
		{appendOnly(scheduler.Server{}, true), "warn", "does not tell"},
		{eviction(scheduler.Server{}), "warn", "does not tell"},
		{eviction(scheduler.Server{Policy: "volatile-lru"}), "warn", "would evict tasks, once a maxmemory is set"},
		{eviction(scheduler.Server{Policy: "noeviction", MaxMemory: 100 << 20, Memory: 80 << 20}), "", ""},
		{eviction(scheduler.Server{Policy: "noeviction", MaxMemory: 100 << 20, Memory: 95 << 20}), "warn", "noeviction, 95 MiB of 100 MiB used"},
		{undeclaredLimits([]scheduler.Limit{{Name: "x", Damaged: true}}), "fail", "cannot be read"},
		{undeclaredLimits([]scheduler.Limit{{Name: "x", Owner: "team", Undeclared: true}}), "warn", "throttlectl limit remove x"},
	} {
		if c.status == "" && len(c.found) > 0 || c.status != "" && (len(c.found) != 1 || c.found[0].Status != c.status || !strings.Contains(c.found[0].text(), c.says) || c.found[0].Right == nil) {
			t.Errorf("%+v, want %s %q", c.found, c.status, c.says)
		}
	}
}
