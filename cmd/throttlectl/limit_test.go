package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/scheduler"
)

// limit makes a named limit; the rate "" is none.
func (b *bench) limit(name, rate string, concurrency int) {
	b.t.Helper()
	ch := scheduler.LimitChange{Concurrency: &concurrency, By: "test"}
	if rate != "" {
		rates := ratesOf(rate)
		ch.Rates = &rates
	}
	_, err := b.SetLimit(b.ctx(), name, ch)
	b.must(err)
}

func TestLimitLife(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if r := b.run("limit", "list"); r.code != 0 || r.out != "" || !strings.Contains(r.err, `No limits in namespace "throttle"`) {
		t.Errorf("empty list: %+v", r)
	}
	if got := b.ok("limit", "list", "--json"); got != "[]\n" {
		t.Errorf("empty list: %q", got)
	}
	for _, s := range []struct {
		args string
		want string
	}{
		{"set github --rate 5000/1h:50 --concurrency 20", "github: created, rate 5000/1h:50, concurrency 20, debt-max 0\n"},
		{"set places --concurrency 3", "places: created, rate unlimited, concurrency 3, debt-max 0\n"},
		{"set github --rate 10/1s:5,300/15m:20 --debt-max 5", "github: rate 5000/1h:50 -> 10/1s:5, 300/15m:20, debt-max 0 -> 5\n"},
		{"set github --concurrency 0", "github: concurrency 20 -> none\n"},
		{"set github --concurrency 0", "github: as it was\n"},
		{"set github --rate 10/1s:5", "github: rate 10/1s:5, 300/15m:20 -> 10/1s:5\n"},
		{"reset github", "github: reset, tokens 5/5\n"},
		{"take github 2", "github: 2 tokens granted, 3 left\n"},
	} {
		if got := b.ok(append([]string{"limit"}, strings.Fields(s.args)...)...); got != s.want {
			t.Errorf("limit %s: %q, want %q", s.args, got, s.want)
		}
	}
	var made struct {
		limitView
		Created bool
	}
	if b.decode(&made, "limit", "set", "third", "--rate", "1/1m"); !made.Created || made.Rate != "1/1m" || made.LastEdit == nil || !strings.Contains(made.LastEdit.By, "@") {
		t.Errorf("set --json: %+v", made)
	}
	if b.decode(&made, "limit", "set", "third", "--concurrency", "2"); made.Created || made.Concurrency != 2 {
		t.Errorf("set --json: %+v", made)
	}
	var list []limitView
	if b.decode(&list, "limit", "list"); len(list) != 3 || list[0].Name != "github" || list[1].Name != "places" {
		t.Errorf("list: %+v", list)
	}
	contains(t, b.ok("limit", "list"), "NAME", "github", "10/1s:5", "places")
	if got := b.ok("limit", "remove", "third", "--yes"); got != "third: removed\n" {
		t.Errorf("remove: %q", got)
	}
	var removed struct {
		Limit   string
		Removed bool
	}
	if b.decode(&removed, "limit", "remove", "places", "--yes"); removed.Limit != "places" || !removed.Removed {
		t.Errorf("remove --json: %+v", removed)
	}
}

// A rate for a while is shown with what comes back, and goes back by itself.
func TestLimitForAWhile(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.limit("github", "10/1s", 0)
	contains(t, b.ok("limit", "set", "github", "--rate", "50/1s", "--for", "2h"), "github: rate 10/1s -> 50/1s until ", ", then 10/1s")
	out := b.ok("limit", "show", "github")
	contains(t, out, "50/1s (one each 20ms) until ", ", then 10/1s", "last edit", "@")
	var v limitView
	b.decode(&v, "limit", "show", "github")
	if v.Override == nil || v.Override.Rate != "50/1s" || v.Override.Then != "10/1s" || v.Override.Until.Sub(v.LastEdit.At).Round(time.Second) != 2*time.Hour {
		t.Errorf("%+v", v.Override)
	}
	b.ok("limit", "set", "github", "--rate", "50/1s", "--for", "1s")
	b.waitUntil(func(time.Time) bool {
		l, err := b.Limit(b.ctx(), "github")
		b.must(err)
		return l.Override == nil
	})
	if b.decode(&v, "limit", "show", "github"); v.Rate != "10/1s" || v.Override != nil {
		t.Errorf("%+v", v)
	}
}

func TestLimitOfAFile(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	declare := func(limits map[string]scheduler.LimitSpec) {
		b.must(b.Apply(b.ctx(), scheduler.Declaration{Owner: "team-a", Limits: limits}))
	}
	declare(map[string]scheduler.LimitSpec{"github": {Rates: ratesOf("10/1s")}})
	r := b.run("limit", "set", "github", "--rate", "50/1s")
	if r.code != 0 || r.out != "github: rate 10/1s -> 50/1s\n" {
		t.Errorf("%+v", r)
	}
	contains(t, r.err, `limit "github" is declared by the file of owner "team-a"`, "override", "rate 10/1s")
	contains(t, b.ok("limit", "show", "github"), "OVERRIDE", "rate is 50/1s, the file says 10/1s")
	r = b.run("limit", "remove", "github", "--yes")
	if r.code != 4 {
		t.Errorf("%+v", r)
	}
	contains(t, r.err, `limit "github" is declared by owner "team-a"; take it out of that file`)
	if r := b.run("limit", "set", "github", "--rate", "10/1s"); r.err != "" {
		t.Errorf("as the file has it again: %q", r.err)
	}
	declare(nil)
	contains(t, b.ok("limit", "show", "github"), "but not any more", "throttlectl limit remove github")
	b.ok("limit", "remove", "github", "--yes")
}

func TestLimitTake(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.limit("slow", "1/1h:3", 0)
	if got := b.ok("limit", "take", "slow", "3"); got != "slow: 3 tokens granted, 0 left\n" {
		t.Errorf("take: %q", got)
	}
	r := b.run("limit", "take", "slow")
	if r.code != 6 || !strings.HasPrefix(r.out, "slow: not granted, 0 left, ask again in 1h") {
		t.Errorf("denied: %+v", r)
	}
	contains(t, r.err, `Error: limit "slow" did not grant 1 token: ask again in 1h`, "--wait does that")
	r = b.run("limit", "take", "slow", "2", "--json")
	var v takenView
	if err := json.Unmarshal([]byte(r.out), &v); err != nil || r.code != 6 || v.Granted || v.Limit != "slow" || v.Count != 2 || v.Wait < 7000 || v.Wait > 7200 || v.At == nil {
		t.Errorf("denied: %v %+v", err, r)
	}
	contains(t, r.err, `{"error":{"code":"timeout","message":"limit \"slow\" did not grant 2 tokens`)
	begin := time.Now()
	r = b.run("limit", "take", "slow", "--wait", "--timeout", "5s")
	if r.code != 6 || time.Since(begin) > 4*time.Second {
		t.Errorf("what comes after --timeout is not waited for: %+v", r)
	}
	contains(t, r.err, "that is after the 5s of --timeout")

	b.limit("quick", "20/1s", 0)
	b.ok("limit", "take", "quick")
	b.decode(&v, "limit", "take", "quick", "--wait")
	if !v.Granted || v.Wait != 0 || v.Count != 1 {
		t.Errorf("%+v", v)
	}
}

// Ctrl-C ends a take that waits; nothing was taken.
func TestLimitTakeInterrupted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.limit("slow", "1/1m", 0)
	b.ok("limit", "take", "slow")
	ctx, cancel := context.WithCancel(b.ctx())
	cancel()
	var out, text bytes.Buffer
	a := newApp([]string{"--redis-url", b.server.URL(), "limit", "take", "slow", "--wait", "--timeout", "10m"}, nil, &out, &text)
	a.base = ctx
	if code := a.run(); code != 1 || !strings.Contains(text.String(), "interrupted: no token was taken") || out.Len() > 0 {
		t.Errorf("exit %d: %s%s", code, out.String(), text.String())
	}
}

func TestLimitTakeWithoutRedis(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.limit("github", "1/1s", 0)
	rdb := b.server.Client()
	defer rdb.Close()
	b.must(rdb.Do(b.ctx(), "client", "pause", 60_000, "write").Err()) // scripts wait, PING does not
	r := b.run("limit", "take", "github", "--timeout", "300ms")
	if r.code != 6 || r.out != "" {
		t.Errorf("%+v", r)
	}
	contains(t, r.err, "it is unknown whether 1 token was taken")
}

func TestLimitRemoveAsks(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.limit("github", "1/1s", 0)
	ask := func(answer string) result {
		var out, err bytes.Buffer
		a := newApp([]string{"--redis-url", b.server.URL(), "limit", "remove", "github"}, strings.NewReader(answer), &out, &err)
		a.interactive = true
		return result{a.run(), out.String(), err.String()}
	}
	if r := ask("n\n"); r.code != 4 || !strings.Contains(r.err, `Remove limit "github"? [y/N]`) {
		t.Errorf("%+v", r)
	}
	if r := ask("y\n"); r.code != 0 || r.out != "github: removed\n" {
		t.Errorf("%+v", r)
	}
}

func TestLimitMistakes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.limit("github", "5000/1h:50", 0)
	b.limit("places", "", 3)
	b.limit("slow", "1/1h", 0)
	b.queue("plain", "http", "")
	spec := scheduler.DefaultQueue("http")
	spec.Key = &scheduler.KeySpec{Weight: 1}
	_, err := b.CreateQueue(b.ctx(), "keyed", spec)
	b.must(err)
	spec.Key, spec.Limits = nil, []string{"github"}
	for _, name := range []string{"calls", "deploys"} {
		_, err := b.CreateQueue(b.ctx(), name, spec)
		b.must(err)
	}
	b.mistakes([]mistake{
		{"limit", 2, "usage", "list|remove|reset|set|show|take"},
		{"limit shw github", 2, "usage", `did you mean "show"?`},
		{"limit show", 2, "usage", "argument NAME is missing"},
		{"limit list now", 2, "usage", "too many arguments"},
		{"limit show guthub", 3, "not_found", `no limit "guthub" in namespace "throttle"; did you mean "github"?`},
		{"limit show GitHub", 2, "usage", `did you mean "github"?`},
		{"limit show queue", 2, "usage", `limit "queue" is a reserved name`},
		{"limit set key --rate 1/1s", 2, "usage", `limit "key" is a reserved name`},
		{"limit set a/b --rate 1/1s", 2, "usage", "is not a name"},
		{"limit set github", 2, "usage", "changes nothing: give at least one of --rate, --concurrency, --debt-max"},
		{"limit set guthub --debt-max 1", 3, "not_found", `did you mean "github"?; to create it, give --rate or --concurrency`},
		{"limit set new --rate 1/1s --for 2h", 3, "not_found", "--for changes a limit that exists"},
		{"limit set github --rate 0/1s", 2, "usage", `rate "0/1s"`},
		{"limit set github --rate 1/x", 2, "usage", `unit "x" must be one of ms, s, m, h, d`},
		{"limit set github --rate 1/1s,1/1s", 2, "usage", `rate "1/1s" is there twice`},
		{"limit set github --rate 1/1s,2/1s,3/1s,4/1s,5/1s,6/1s,7/1s,8/1s,9/1s", 2, "usage", "9 rates are too many"},
		{"limit set github --concurrency -1", 2, "usage", "concurrency must be 0 (no cap) to 1000000"},
		{"limit set github --concurrency few", 2, "usage", `--concurrency "few" is not a whole number`},
		{"limit set github --debt-max few", 2, "usage", `--debt-max "few" is not a whole number`},
		{"limit set github --debt-max 51", 2, "usage", "must be 0 to 50, the least burst of the rates"},
		{"limit set github --rate unlimited --debt-max 1", 2, "usage", "must be 0 to 0"},
		{"limit set github --for 2h", 2, "usage", "--for goes with --rate only"},
		{"limit set github --rate 1/1s --for 2", 2, "usage", `did you mean "2s"?`},
		{"limit set github --rate 1/1s --for 999ms", 2, "usage", "--for 999ms must be 1s to 366d"},
		{"limit set github --rate 1/1s --for 367d", 2, "usage", "must be 1s to 366d"},
		{"limit set github --rate 1/1s --for -1h", 2, "usage", "must be 1s to 366d"},
		{"limit reset guthub", 3, "not_found", "did you mean"},
		{"limit remove guthub --yes", 3, "not_found", "did you mean"},
		{"limit remove slow", 4, "conflict", "limit remove slow --yes"},
		{"limit remove github --yes", 4, "conflict", "calls, deploys"},
		{"limit take guthub", 3, "not_found", `no limit "guthub" in namespace "throttle"; did you mean "github"?`},
		{"limit take github 0", 2, "usage", `COUNT "0" is not a number from 1 to 1000000000`},
		{"limit take github many", 2, "usage", "COUNT"},
		{"limit take github 51", 2, "usage", "its capacity is 50"},
		{"limit take github 1 2", 2, "usage", "too many arguments"},
		{"--redis-url redis://127.0.0.1:1/0 --timeout 100ms limit take github", 5, "unreachable", "is not reachable"},

		{"queue create 1/1s,1/1s --handler http", 2, "usage", "there twice"},
		{"queue create 1/1s --handler http --limit guthub", 3, "not_found", `no limit "guthub"`},
		{"queue create 1/1s --handler http --limit github --limit github", 2, "usage", "--limit github is given twice"},
		{"queue create 1/1s --handler http --limit queue", 2, "usage", "reserved name"},
		{"queue create 1/1s --handler http --limit=github --limit=", 2, "usage", "goes with no other --limit"},
		{"queue create 1/1s --handler http --concurrency -1", 2, "usage", "concurrency must be"},
		{"queue create 1/1s --handler http --debt-max 2", 2, "usage", "must be 0 to 1"},
		{"queue create 1/1s --handler http --for 2h", 2, "usage", "unknown flag: --for"},
		{"queue create 1/1s --handler http --key-rate 0/1s", 2, "usage", `--key-rate: rate "0/1s"`},
		{"queue create 1/1s --handler http --key-weight 0", 2, "usage", "weight"},
		{"queue create 1/1s --handler http --key-weight 1001", 2, "usage", "1 to 1000"},
		{"queue create 1/1s --handler http --key-concurrency -1", 2, "usage", "concurrency"},
		{"queue create 1/1s --handler http --key-weight 1 --exception acme", 2, "usage", "is not of the form KEY:rate="},
		{"queue create 1/1s --handler http --key-weight 1 --exception acme:", 2, "usage", "sets nothing"},
		{"queue create 1/1s --handler http --key-weight 1 --exception acme:rat=1/1s", 2, "usage", `did you mean "rate"?`},
		{"queue create 1/1s --handler http --key-weight 1 --exception acme:weight=0", 2, "usage", "weight"},
		{"queue create 1/1s --handler http --key-weight 1 --exception acme:weight=1 --exception acme:weight=2", 2, "usage", "given twice"},
		{"queue create 1/1s --handler http --exception acme:weight=2", 2, "usage", "key"},
		{"queue update calls --limit guthub", 3, "not_found", `no limit "guthub"`},
		{"queue update calls --limit= --limit=github", 2, "usage", "goes with no other --limit"},
		{"queue update calls --for 2h", 2, "usage", "--for goes with --rate only"},
		{"queue update calls --rate 1/1s --for 0s", 2, "usage", "must be 1s to 366d"},
		{"queue update calls --rate 1/1s,1/1s", 2, "usage", "there twice"},
		{"queue update keyed --key-weight 0", 2, "usage", "weight"},
		{"queue update calls --no-key --key-weight 2", 2, "usage", "--no-key excludes"},
		{"queue update calls --exception acme:weight=2", 2, "usage", "key"},
		{"queue update keyed --exception acme:concurrency=-1", 2, "usage", "concurrency"},

		{"submit plain --cost 0", 2, "usage", "LIMIT=0 takes a task out of one limit"},
		{"submit plain --cost -1", 2, "usage", "cost"},
		{"submit plain --cost 1000000001", 2, "usage", "cost"},
		{"submit plain --cost many", 2, "usage", "is not a whole number of tokens"},
		{"submit plain --cost 1,2", 2, "usage", "given twice"},
		{"submit calls --cost github=-1", 2, "usage", "cost"},
		{"submit calls --cost GitHub=1", 2, "usage", "name"},
		{"submit calls --cost github=51", 7, "invalid", "50"},
		{"submit --file x --cost 1 calls", 2, "usage", "--file and --cost exclude each other"},
	})
}
