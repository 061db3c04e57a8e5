//go:build linux

package blackbox

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/scheduler"
	"github.com/throttlerd/throttlerd/tests/proc"
	"github.com/throttlerd/throttlerd/tests/redistest"
)

// site is one installation: a Redis, a journal, a client, and what the test starts.
type site struct {
	*testing.T
	redis   *redistest.Server
	rdb     *redis.Client
	client  *scheduler.Client
	journal *proc.Journal
	workers []*proc.Process // of three
	plugins string          // plugin_dir
	files   int
}

const namespace = "bb"

func newSite(t *testing.T, opts ...redistest.Option) *site {
	t.Helper()
	s := &site{T: t, plugins: proc.Build(t).PluginDir, redis: redistest.Start(t, opts...), journal: proc.NewJournal(t)}
	s.rdb = s.redis.Client()
	t.Cleanup(func() { s.rdb.Close() })
	var err error
	s.client, err = scheduler.New(s.rdb, scheduler.Options{Namespace: namespace})
	s.must(err)
	return s
}

func (s *site) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// ctx bounds one call or a few.
func (s *site) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	s.Cleanup(cancel)
	return ctx
}

// head is what every config file begins with: where things are.
func (s *site) head() string {
	return fmt.Sprintf("namespace = %q\nplugin_dir = %q\nredis { url = %q }\n",
		namespace, s.plugins, s.redis.URL())
}

// echo is a handler block that keeps the site's journal; attributes of the block may
// be added.
func (s *site) echo(attributes ...string) string {
	return fmt.Sprintf("handler \"echo\" {\n%s\nconfig { journal = %q }\n}\n", strings.Join(attributes, "\n"), s.journal.Path)
}

// file writes a config file of the head and these parts.
func (s *site) file(parts ...string) string {
	s.Helper()
	s.files++
	path := filepath.Join(s.TempDir(), fmt.Sprintf("config%d.hcl", s.files))
	s.rewrite(path, parts...)
	return path
}

func (s *site) rewrite(path string, parts ...string) {
	s.Helper()
	s.must(os.WriteFile(path, []byte(s.head()+strings.Join(parts, "\n")+"\n"), 0o644))
}

// queue is a queue block for handler echo whose history keeps every task.
func queue(name string, attributes ...string) string {
	return fmt.Sprintf("queue %q {\nhandler = \"echo\"\nhistory = 200000\n%s\n}\n", name, strings.Join(attributes, "\n"))
}

// submit puts n tasks of one payload into a queue and returns their ids.
func (s *site) submit(queue string, n int, payload string) []string {
	s.Helper()
	tasks := make([]scheduler.SubmitRequest, n)
	for i := range tasks {
		tasks[i].Payload = []byte(payload)
	}
	receipts, err := s.client.SubmitMany(s.ctx(), queue, tasks)
	s.must(err)
	ids := make([]string, n)
	for i, r := range receipts {
		ids[i] = r.ID
	}
	return ids
}

func (s *site) task(id string) scheduler.Task {
	s.Helper()
	t, err := s.client.Task(s.ctx(), id)
	s.must(err)
	return t
}

func (s *site) show(queue string) scheduler.Queue {
	s.Helper()
	q, err := s.client.Queue(s.ctx(), queue)
	s.must(err)
	return q
}

// waitState waits until a task is in a state, and returns it.
func (s *site) waitState(id, state string, limit time.Duration) scheduler.Task {
	s.Helper()
	var t scheduler.Task
	var err error
	deadline := time.Now().Add(limit)
	for {
		t, err = s.client.Task(s.ctx(), id)
		if err == nil && t.State == state {
			return t
		}
		if time.Now().After(deadline) {
			s.Fatalf("task %s is %q (%v), not %q, after %v: %+v", id, t.State, err, state, limit, t)
		}
		time.Sleep(5 * time.Millisecond) // between two looks
	}
}

// waitDone waits until a queue has completed n tasks.
func (s *site) waitDone(queue string, n int, limit time.Duration) {
	s.Helper()
	var q scheduler.Queue
	var err error
	deadline := time.Now().Add(limit)
	for {
		q, err = s.client.Queue(s.ctx(), queue)
		if err == nil && q.Completed >= int64(n) {
			return
		}
		if time.Now().After(deadline) {
			s.Fatalf("queue %s: %d of %d tasks done after %v (%v): %+v", queue, q.Completed, n, limit, err, q)
		}
		time.Sleep(5 * time.Millisecond) // between two looks
	}
}

// claims is the number of claim calls that a worker has made.
func (s *site) claims(w *proc.Process) int64 {
	s.Helper()
	n, err := s.rdb.HGet(s.ctx(), "{"+namespace+"}:worker:"+w.ID(), "claim").Int64()
	s.must(err)
	return n
}

// reads is how often Redis has read from a connection, which is once a round trip, of
// a pipeline too; scripts add nothing to it.
func (s *site) reads() int64 {
	s.Helper()
	info, err := s.rdb.Info(s.ctx(), "stats").Result()
	s.must(err)
	var n int64
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(line, "total_reads_processed:"); ok {
			_, err := fmt.Sscan(v, &n)
			s.must(err)
		}
	}
	return n
}

// plugin is the one plugin process of a worker.
func (s *site) plugin(w *proc.Process) int {
	s.Helper()
	pids := proc.Children(w.PID)
	if len(pids) != 1 {
		s.Fatalf("worker %d has the processes %v, not one plugin", w.PID, pids)
	}
	return pids[0]
}

// once demands that exactly these tasks were started, each once and uncharged.
func (s *site) once(ids []string) {
	s.Helper()
	started := make(map[string]int)
	for _, e := range s.journal.Starts() {
		started[e.Task]++
		if e.Attempt != 1 {
			s.Errorf("task %s started with attempt %d", e.Task, e.Attempt)
		}
	}
	twice, never := 0, 0
	for _, id := range ids {
		switch n := started[id]; {
		case n == 0:
			never++
		case n > 1:
			twice++
		}
		delete(started, id)
	}
	if twice > 0 || never > 0 || len(started) > 0 {
		s.Errorf("of %d tasks %d never started, %d more than once; %d others started", len(ids), never, twice, len(started))
	}
}

// bound holds the grants of a queue exactly, and its starts within the jitter of a busy
// machine, against a rate.
func (s *site) bound(rate string, starts []proc.Entry) {
	s.Helper()
	r, err := ratelimit.Parse(rate)
	s.must(err)
	var grants, walls []int64
	var latest time.Duration
	for _, e := range starts {
		grants, walls = append(grants, e.GrantUs), append(walls, e.StartUs)
		latest = max(latest, e.Late())
		if e.Late() < 0 {
			s.Errorf("task %s started %v before its grant", e.Task, -e.Late())
		}
	}
	if err := ratelimit.Check(r, ratelimit.Grants(grants...)); err != nil {
		s.Errorf("grants break %s: %v", rate, err)
	}
	var jitter time.Duration
	for jitter <= time.Second && ratelimit.CheckLate(r, jitter, ratelimit.Grants(walls...)) != nil {
		jitter += 100 * time.Microsecond
	}
	s.Logf("figure: %s: %d starts, latest %v after its grant; starts keep the bound with a jitter of %v", rate, len(starts), latest, jitter)
	if err := ratelimit.CheckLate(r, latest, ratelimit.Grants(walls...)); err != nil {
		s.Errorf("starts break %s by more than they were late: %v", rate, err)
	}
}

// late returns the median and a percentile of how late starts were.
func late(starts []proc.Entry) (median, p99 time.Duration) {
	var d []time.Duration
	for _, e := range starts {
		d = append(d, e.Late())
	}
	return quantile(d, 0.5), quantile(d, 0.99)
}

func quantile(d []time.Duration, q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	d = slices.Clone(d)
	slices.Sort(d)
	return d[min(len(d)-1, int(q*float64(len(d))))]
}

// stop drains a worker by SIGTERM and demands that it ends well.
func (s *site) stop(w *proc.Process, limit time.Duration) {
	s.Helper()
	w.Signal(syscall.SIGTERM)
	if code := w.Wait(limit); code != 0 {
		s.Errorf("worker %d ended with code %d after SIGTERM", w.PID, code)
	}
}
