//go:build bench

// Package bench prints what throttlerd does on this machine: `make bench`. It runs the
// built binaries at their defaults, with a redis-server of its own, and judges starts
// from the journal of plugin echo.
package bench

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/scheduler"
	"github.com/throttlerd/throttlerd/tests/redistest"
)

const (
	payloadSize = 100
	pollEvery   = 20 * time.Millisecond // seldom, so that waiting takes little from what is measured
)

// rig is a redis-server and one worker on it.
type rig struct {
	t      *testing.T
	srv    *redistest.Server
	rdb    redis.UniversalClient
	client *scheduler.Client
	worker *exec.Cmd
	dir    string
}

// pluginDir has noop, and echo for tests that need its journal.
var pluginDir = sync.OnceValues(func() (string, error) {
	dir, err := peerDir()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(dir, "plugins")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", dir, "./noop", "../../plugins/echo")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build plugins: %w\n%s", err, out)
	}
	return dir, nil
})

func newRig(t *testing.T, config string, workers int) *rig {
	t.Helper()
	r := &rig{t: t, srv: redistest.Start(t), dir: t.TempDir()}
	rdb, err := scheduler.Dial(scheduler.RedisOptions{URL: r.srv.URL()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rdb.Close() })
	r.rdb = rdb
	if r.client, err = scheduler.New(rdb, scheduler.Options{Namespace: "bench"}); err != nil {
		t.Fatal(err)
	}
	bin, err := filepath.Abs(cmp.Or(os.Getenv("THROTTLE_BENCH_BIN"), "../../bin")) // another build, to compare
	if err != nil {
		t.Fatal(err)
	}
	plugins, err := pluginDir()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(r.dir, "config.hcl")
	text := fmt.Sprintf("namespace = \"bench\"\nplugin_dir = %q\nredis { url = %q }\n%s", plugins, r.srv.URL(), config)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for range workers {
		cmd := exec.Command(filepath.Join(bin, "throttlerd"), "run", "-c", file, "--log-level", "error")
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatalf("%v (run make build first)", err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			_ = cmd.Wait()
		})
		r.worker = cmd
	}
	r.until(10*time.Second, func() bool {
		ws, err := r.client.Workers(context.Background())
		return err == nil && len(ws) == workers
	})
	return r
}

func (r *rig) until(limit time.Duration, done func() bool) {
	r.t.Helper()
	deadline := time.Now().Add(limit)
	for !done() {
		if time.Now().After(deadline) {
			r.t.Fatalf("not done in %s", limit)
		}
		time.Sleep(pollEvery)
	}
}

func (r *rig) queue(name, rate string) {
	r.t.Helper()
	spec := scheduler.DefaultQueue("echo")
	if rate != "" {
		var err error
		if spec.Rates, err = ratelimit.ParseRates(rate); err != nil {
			r.t.Fatal(err)
		}
	}
	if _, err := r.client.CreateQueue(context.Background(), name, spec); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) submit(queue string, n int) {
	r.t.Helper()
	tasks := make([]scheduler.SubmitRequest, n)
	for i := range tasks {
		tasks[i].Payload = fmt.Appendf(nil, "%0*d", payloadSize, i)
	}
	if _, err := r.client.SubmitMany(context.Background(), queue, tasks); err != nil {
		r.t.Fatal(err)
	}
}

// completed is the tasks of a queue that are done.
func (r *rig) completed(queue string) int64 {
	n, _ := r.rdb.HGet(context.Background(), "{bench}:q:"+queue, "done").Int64()
	return n
}

// done is completed of the queues q0, q1 ..., and of q where there is one; one round trip,
// so that who waits for it takes little from what is measured.
func (r *rig) done(queues int) (n int64) {
	ctx := context.Background()
	counts, _ := r.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.HGet(ctx, "{bench}:q:q", "done")
		for i := range queues {
			p.HGet(ctx, fmt.Sprint("{bench}:q:q", i), "done")
		}
		return nil
	})
	for _, c := range counts {
		v, _ := c.(*redis.StringCmd).Int64()
		n += v
	}
	return n
}

// memory is what Redis holds, in bytes.
func (r *rig) memory() int64 { return r.info("memory", "used_memory:") }

func (r *rig) info(section, field string) (n int64) {
	r.t.Helper()
	text, err := r.rdb.Info(context.Background(), section).Result()
	if err != nil {
		r.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(text, field)
	_, _ = fmt.Sscan(rest, &n)
	return n
}

// cpu is the time that the threads of a process have used so far, as the scheduler counts
// it: in nanoseconds, where /proc/PID/stat counts ticks.
func cpu(t *testing.T, pid int) (sum time.Duration) {
	t.Helper()
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if len(threads) == 0 {
		t.Fatalf("no process %d", pid)
	}
	for _, path := range threads {
		var ns int64
		if text, err := os.ReadFile(path); err == nil { // else it has just ended
			_, _ = fmt.Sscan(string(text), &ns)
		}
		sum += time.Duration(ns)
	}
	return sum
}

// children are the plugin processes of the worker.
func (r *rig) plugin() int {
	r.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", r.worker.Process.Pid, r.worker.Process.Pid))
	var pid int
	if err == nil {
		_, _ = fmt.Sscan(string(text), &pid)
	}
	if pid == 0 { // forked by another thread
		all, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", r.worker.Process.Pid))
		for _, p := range all {
			if text, err := os.ReadFile(p); err == nil && len(text) > 0 {
				_, _ = fmt.Sscan(string(text), &pid)
			}
		}
	}
	if pid == 0 {
		r.t.Fatal("the worker has no plugin process")
	}
	return pid
}

// used measures the CPU of worker, plugin and Redis over f, and the time it took.
func (r *rig) used(f func()) (worker, plugin, server, wall time.Duration) {
	pids := []int{r.worker.Process.Pid, r.plugin(), r.srv.PID()}
	var before [3]time.Duration
	for i, p := range pids {
		before[i] = cpu(r.t, p)
	}
	start := time.Now()
	f()
	wall = time.Since(start)
	return cpu(r.t, pids[0]) - before[0], cpu(r.t, pids[1]) - before[1], cpu(r.t, pids[2]) - before[2], wall
}

// calls counts what a server has done: calls of scripts, and all else, which a drain does
// inside of them.
func calls(t *testing.T, rdb redis.UniversalClient) (scripts, commands int64) {
	t.Helper()
	info, err := rdb.Info(context.Background(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(info) {
		for _, name := range []string{"evalsha", "eval"} {
			var n int64
			if k, _ := fmt.Sscanf(line, "cmdstat_"+name+":calls=%d", &n); k == 1 {
				scripts += n
			}
		}
	}
	return scripts, redistest.Commands(t, rdb) - scripts
}

// sent counts the commands that clients send to a server over a while. Those of scripts are
// not among them, which Redis' own counts cannot tell apart.
func sent(t *testing.T, socket string, watch time.Duration) (n int) {
	t.Helper()
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("MONITOR\r\n")); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(watch)); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(c); lines.Scan(); {
		if line := lines.Text(); line != "+OK" && !strings.Contains(line, " lua] ") {
			n++
		}
	}
	return n
}

func quantile(v []float64, q float64) float64 {
	sort.Float64s(v)
	return v[int(q*float64(len(v)-1))]
}
