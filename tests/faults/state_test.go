//go:build linux

package faults

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/scheduler"
	"github.com/throttlerd/throttlerd/tests/faults/check"
	"github.com/throttlerd/throttlerd/tests/proc"
	"github.com/throttlerd/throttlerd/tests/redistest"
)

// Row 34: ten workers see at once that a lease has ended. Each task is taken back once.
func TestReapersRace(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.queue("open")
	_, err := r.client.CreateQueue(r.ctx(), "open", scheduler.DefaultQueue("echo"))
	r.must(err)
	const tasks = 900
	r.put("open", tasks, "{}")
	slots := []scheduler.Slots{{Index: "default:echo", Free: 128}}
	register := func(id string, lease time.Duration) *scheduler.Session {
		s, err := r.client.Register(r.ctx(), scheduler.Worker{
			ID: id, Pools: []string{"default"}, Indexes: []string{"default:echo"}, Slots: map[string]int{"echo": 128}, Lease: lease, Started: time.Now(),
		})
		r.must(err)
		return s
	}
	dead := register("dead", 300*time.Millisecond)
	for held := 0; held < tasks; {
		g, _, _, err := dead.Exchange(r.ctx(), nil, &scheduler.Claim{Slots: slots})
		r.must(err)
		held += len(g.Grants)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	reaped := 0
	ctx, stop := context.WithTimeout(r.ctx(), 20*time.Second)
	defer stop()
	for i := range 10 {
		s := register(fmt.Sprint("w", i), 10*time.Second)
		wg.Go(func() {
			for ctx.Err() == nil {
				b, err := s.Tick(ctx, nil)
				if err != nil {
					return
				}
				mu.Lock()
				reaped += b.Reaped
				if reaped >= tasks {
					stop()
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	r.during()
	q, err := r.client.Queue(r.ctx(), "open")
	r.must(err)
	if reaped != tasks || q.Waiting != tasks || q.Running != 0 {
		t.Errorf("%d tasks taken back, %d wait, %d run; there are %d", reaped, q.Waiting, q.Running, tasks)
	}
}

// Row 35: somebody deletes what Redis knows of a lease. The next tick mends the entry of
// a living worker; one whose record is gone is reaped like a dead one, and starts afresh.
func TestLeaseRecordDeleted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.lease = 2 * time.Second
	r.standard("")
	r.start(3)
	r.produce(12 * time.Millisecond)
	r.more(100)
	for _, w := range r.workers {
		r.must(r.rdb.ZRem(r.ctx(), "{"+namespace+"}:workers", w.ID()).Err())
	}
	r.more(300) // mended: this explains nothing
	w := r.workers[0]
	id := w.ID()
	r.put("open", 20, `{"sleep": "3s"}`)
	r.more(40)
	from := proc.Mono()
	r.must(r.rdb.Del(r.ctx(), "{"+namespace+"}:worker:"+id).Err())
	proc.Eventually(t, 10*time.Second, "the worker serves under a new name", func() bool { return w.ID() != id })
	r.more(100)
	r.fault(check.WorkerPaused, from, w.PID, r.lease+3*time.Second)
	r.verdict(20 * time.Second)
}

// Row 36: many queues, all known and a few in use. What a start takes of Redis does not
// grow because of them.
func TestManyQueues(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.standard("")
	r.start(3)
	perStart := func() float64 {
		from, before := len(r.journal.Starts()), redistest.Commands(r, r.rdb)
		r.more(300)
		return float64(redistest.Commands(r, r.rdb)-before) / float64(len(r.journal.Starts())-from)
	}
	r.produce(12 * time.Millisecond)
	r.more(100)
	few := perStart()
	n := 3000
	if long() {
		n = 1_000_000
	}
	spec := scheduler.DefaultQueue("echo")
	spec.Rates = ratelimit.Rates{{N: 1, Period: time.Minute, Burst: 1}}
	var wg sync.WaitGroup
	for part := range 16 {
		wg.Go(func() {
			for i := part; i < n; i += 16 {
				call, cancel := context.WithTimeout(context.Background(), 30*time.Second)
				_, err := r.client.CreateQueue(call, fmt.Sprintf("idle%07d", i), spec)
				cancel()
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	many := perStart()
	r.figure("commands a start: %.1f beside 3 queues, %.1f beside %d", few, many, n)
	if many > 1.3*few {
		t.Errorf("a start takes %.1f commands, and %.1f beside %d queues", few, many, n)
	}
	r.halt()
	r.rest(20 * time.Second)
}

// Row 38: upstream answers 429 and says how long to wait. Nothing is sent meanwhile, by
// any worker, and no attempt is charged.
func TestUpstreamSaysSlowDown(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var mu sync.Mutex
	var refused, early, served int
	much := []int{20, 60} // after so many served, upstream has had enough for 2 s
	var opens time.Time   // when it takes requests again
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		now := time.Now()
		if len(much) > 0 && served == much[0] {
			much, opens = much[1:], now.Add(2*time.Second)
		}
		if now.After(opens) {
			served++
			return
		}
		refused++
		if left := opens.Sub(now); left < 1500*time.Millisecond && left > 100*time.Millisecond {
			early++ // what had been started before has come by then
		}
		w.Header().Set("Retry-After", "2")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	t.Cleanup(upstream.Close)
	r.queues = append(r.queues, "hooks")
	r.configure("", fmt.Sprintf("handler \"webhook\" {\nconfig {\nurl = %q\nallow_cidrs = [\"127.0.0.0/8\"]\n}\n}\nqueue \"hooks\" {\nhandler = \"webhook\"\nrate = \"50/1s:5\"\nhistory = 1000\n}", upstream.URL))
	r.start(3)
	const tasks = 100
	ids := r.put("hooks", tasks, "{}")
	r.rest(30 * time.Second)
	for _, id := range ids {
		task, err := r.client.Task(r.ctx(), id)
		r.must(err)
		if task.State != "done" || task.Attempts != 1 {
			t.Errorf("task %s is %s after %d attempts", id, task.State, task.Attempts)
		}
	}
	r.figure("%d tasks served, %d requests refused with 429, %d of them later than half a second after the first", served, refused, early)
	if served != tasks || refused < 2 || early > 0 {
		t.Errorf("%d requests refused, %d of them while the queue was to be frozen", refused, early)
	}
}

// Row 37: Redis' memory and the workers' do not grow with the tasks that have ended.
func TestMemoryIsFlat(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.lease = 10 * time.Second
	r.queues = append(r.queues, "many")
	r.configure("", "handler \"plain\" {\nplugin = \"echo\"\n}\nqueue \"many\" {\nhandler = \"plain\"\nhistory = 200\n}")
	r.start(1)
	n := 10_000
	if long() {
		n = 500_000
	}
	var redis, worker []int64
	for range 4 {
		for range n / 1000 {
			r.put("many", 1000, "{}")
		}
		r.rest(5 * time.Minute)
		redis = append(redis, r.usedMemory())
		worker = append(worker, proc.Memory(t, r.workers[0].PID))
	}
	r.figure("memory after each of 4 times %d tasks: Redis %d KiB, worker %d KiB", n, redis, worker)
	// The first round makes the buffers; after it those of connections come and go, 20 KiB
	// each, and the worker's heap finds its size.
	if redis[3] > redis[1]+64 {
		t.Errorf("Redis' memory grows: %d KiB", redis)
	}
	if worker[3] > worker[1]+8<<10 {
		t.Errorf("the worker's memory grows: %d KiB", worker)
	}
}

func (r *rig) usedMemory() int64 {
	r.Helper()
	info, err := r.rdb.Info(r.ctx(), "memory").Result()
	r.must(err)
	for line := range strings.Lines(info) {
		var n int64
		if _, err := fmt.Sscanf(line, "used_memory:%d", &n); err == nil {
			return n >> 10
		}
	}
	r.Fatal("INFO tells no used_memory")
	return 0
}

// Without a fault no task runs twice, no token is wasted and none is missing.
func TestNothingWithoutAFault(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.configure("", r.queue("open"), r.queue("rated", `rate = "2999/1s:10"`))
	r.limited("rated", "2999/1s:10", 0, "rated")
	r.start(3)
	n := 10_000
	if long() {
		n = 500_000
	}
	for range n / 1000 {
		r.put("open", 1000, "{}")
		r.put("rated", 1000, "{}")
	}
	h := r.verdict(10 * time.Minute)
	r.figure("%d tasks, %d starts", len(h.Acked), starts(h))
	if s := starts(h); s != 2*n {
		t.Errorf("%d starts of %d tasks", s, 2*n)
	}
}

// Plugins that end and are started again, over and over, leave nothing behind. Several of
// one worker, since one that keeps ending is started ever later.
func TestPluginRestartsLeaveNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	plugins := 3
	if long() {
		plugins = 40
	}
	const rounds = 5
	blocks := []string{r.queue("open")}
	for i := range plugins {
		blocks = append(blocks, fmt.Sprintf("handler \"more%d\" {\nplugin = \"echo\"\n}", i))
	}
	r.configure("", blocks...)
	r.start(1)
	w := r.workers[0]
	plugins++ // with echo itself
	restart := func() {
		before := strings.Count(w.Log(), "plugin up")
		for _, pid := range proc.Children(w.PID) {
			proc.Kill(t, pid)
		}
		proc.Eventually(t, 60*time.Second, "the plugins are up again", func() bool {
			return strings.Count(w.Log(), "plugin up") >= before+plugins && len(proc.Children(w.PID)) == plugins
		})
	}
	proc.Eventually(t, 20*time.Second, "the plugins are up", func() bool { return strings.Count(w.Log(), "plugin up") >= plugins })
	restart()
	files := fmt.Sprintf("/proc/%d/fd", w.PID)
	run := filepath.Dir(socketDir(t, proc.Children(w.PID)[0]))
	count := func(dir string) int {
		list, err := os.ReadDir(dir)
		r.must(err)
		return len(list)
	}
	open, sockets, threads := count(files), count(run), proc.Threads(t, w.PID)
	for range rounds {
		restart()
	}
	r.put("open", 10, "{}")
	r.rest(10 * time.Second)
	r.figure("%d restarts of %d plugins: %d files were %d, %d sockets were %d, %d threads were %d",
		rounds*plugins, plugins, count(files), open, count(run), sockets, proc.Threads(t, w.PID), threads)
	if count(files) > open || count(run) > sockets || proc.Threads(t, w.PID) > threads+2 {
		t.Errorf("the worker keeps something of plugins that are gone")
	}
}

// socketDir is where a plugin's socket is.
func socketDir(t *testing.T, pid int) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range strings.Split(string(text), "\x00") {
		if dir, ok := strings.CutPrefix(v, "PLUGIN_UNIX_SOCKET_DIR="); ok {
			return dir
		}
	}
	t.Fatal("the plugin is told no directory for its socket")
	return ""
}
