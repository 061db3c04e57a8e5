package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/runtime/config"
	"github.com/throttlerd/throttlerd/scheduler"
	"github.com/throttlerd/throttlerd/tests/redistest"
)

var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) {
	for _, e := range os.Environ() {
		if name, _, _ := strings.Cut(e, "="); strings.HasPrefix(name, "THROTTLE_REDIS_") || name == config.EnvNamespace || name == config.EnvConfig {
			os.Unsetenv(name) // what the machine is set to is no part of a test
		}
	}
	os.Exit(m.Run())
}

// bench is a Redis of the test's own, throttlectl on it, and a client beside it.
type bench struct {
	*scheduler.Client
	t      *testing.T
	server *redistest.Server
}

func newBench(t *testing.T, opts ...redistest.Option) *bench {
	t.Helper()
	server := redistest.Start(t, opts...)
	rdb := server.Client()
	t.Cleanup(func() { rdb.Close() })
	c, err := scheduler.New(rdb, scheduler.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &bench{c, t, server}
}

// result is what one run of throttlectl left.
type result struct {
	code     int
	out, err string
}

// run runs throttlectl on the bench's Redis.
func (b *bench) run(args ...string) result { return b.pipe("", args...) }

func (b *bench) pipe(stdin string, args ...string) result {
	return run(stdin, append([]string{"--redis-url", b.server.URL()}, args...)...)
}

func run(stdin string, args ...string) result {
	var out, err bytes.Buffer
	code := Main(args, strings.NewReader(stdin), &out, &err)
	return result{code, out.String(), err.String()}
}

// ok runs throttlectl and returns its output; it must succeed without a message.
func (b *bench) ok(args ...string) string {
	b.t.Helper()
	r := b.run(args...)
	if r.code != 0 || r.err != "" {
		b.t.Fatalf("throttlectl %q: exit %d\n%s%s", args, r.code, r.out, r.err)
	}
	return r.out
}

// decode is ok with --json, read into v.
func (b *bench) decode(v any, args ...string) {
	b.t.Helper()
	out := b.ok(append([]string{"--json"}, args...)...)
	if err := json.Unmarshal([]byte(out), v); err != nil {
		b.t.Fatalf("throttlectl %q: %v\n%s", args, err, out)
	}
}

// queue makes a queue; the rate "" is unlimited.
func (b *bench) queue(name, handler, rate string) {
	b.t.Helper()
	spec := scheduler.DefaultQueue(handler)
	if rate != "" {
		r, err := ratelimit.Parse(rate)
		if err != nil {
			b.t.Fatal(err)
		}
		spec.Rates = ratelimit.Rates{r}
	}
	_, err := b.CreateQueue(b.ctx(), name, spec)
	b.must(err)
}

// worker registers a worker that serves the default pool.
func (b *bench) worker(id string, slots map[string]int) *scheduler.Session {
	b.t.Helper()
	return b.register(scheduler.Worker{ID: id, Slots: slots, Pools: []string{"default"}, Lease: 10 * time.Second})
}

func (b *bench) register(w scheduler.Worker) *scheduler.Session {
	b.t.Helper()
	w.Host, w.PID, w.Version, w.ConfigHash, w.Started = "host-a", 4711, "1.2.3", "0123456789ab", time.Now()
	s, err := b.Register(b.ctx(), w)
	b.must(err)
	return s
}

// claim takes what an index of the default pool grants now.
func (b *bench) claim(s *scheduler.Session, handler string, free int) []scheduler.Grant {
	b.t.Helper()
	g, _, _, err := s.Exchange(b.ctx(), nil, &scheduler.Claim{Slots: []scheduler.Slots{{Index: "default:" + handler, Free: free}}})
	b.must(err)
	return g.Grants
}

// settle reports how a granted task ended.
func (b *bench) settle(s *scheduler.Session, g scheduler.Grant, kind, text string, number int64) {
	b.t.Helper()
	_, settled, err, _ := s.Exchange(b.ctx(), []scheduler.Outcome{{Task: g.Internal, Fence: g.Fence, Kind: kind, Text: text, Number: number}}, nil)
	b.must(err)
	if settled.Stale > 0 {
		b.t.Fatal("settled with an old fence")
	}
}

func (b *bench) submit(queue, payload string) scheduler.Receipt {
	b.t.Helper()
	r, err := b.Submit(b.ctx(), scheduler.SubmitRequest{Queue: queue, Payload: []byte(payload)})
	b.must(err)
	return r
}

func (b *bench) ctx() context.Context { return b.t.Context() }

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// varying are the parts of an output that no two runs share, and what stands for them.
var varying = []struct {
	form *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "TIME"},
	{regexp.MustCompile(`\b[0-9a-f]{13}-[0-9a-f]+\b`), "TASK"},
	{regexp.MustCompile(`("(?:heartbeat_age|lease_ends_in|next_token_in)_seconds": )[0-9.e-]+`), "${1}SECONDS"},
	{regexp.MustCompile(`("tokens": \d+)\.[0-9e-]+`), "$1"},
	{regexp.MustCompile(`\b(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d\b`), "CLOCK"},
	{regexp.MustCompile(`\b[0-9.]+(µs|ms|s) ago`), "SPAN ago"},
	{regexp.MustCompile(`   +`), "  "}, // columns are as wide as what varies in them
	{regexp.MustCompile(`\bin (about )?[0-9][0-9hms.]*`), "in ${1}SPAN"},
}

// golden compares an output with a file of testdata, but for what varies.
func golden(t *testing.T, name, got string) {
	t.Helper()
	for _, v := range varying {
		if v.with == "  " && strings.HasSuffix(name, ".json") {
			continue
		}
		got = v.form.ReplaceAllString(got, v.with)
	}
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

// contains fails the test for each part that is not in the text.
func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("no %q in\n%s", p, text)
		}
	}
}
