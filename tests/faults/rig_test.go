//go:build linux

package faults

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/scheduler"
	"github.com/throttlerd/throttlerd/tests/faults/check"
	"github.com/throttlerd/throttlerd/tests/proc"
	"github.com/throttlerd/throttlerd/tests/redistest"
)

const namespace = "faults"

// rig is one installation under fault: a Redis, workers of one file, producers, and the
// history that the checker is given.
type rig struct {
	*testing.T
	redis   *redistest.Server // nil when there are several
	where   string            // the redis block of the file
	rdb     redis.UniversalClient
	client  *scheduler.Client
	journal *proc.Journal
	queues  []string
	file    string
	lease   time.Duration
	workers []*proc.Process

	mu   sync.Mutex
	h    check.History
	stop context.CancelFunc
	wg   sync.WaitGroup
}

// newRig starts a Redis of its own. The workload is standard's.
func newRig(t *testing.T, opts ...redistest.Option) *rig {
	t.Helper()
	s := redistest.Start(t, opts...)
	rdb := s.Client()
	rdb.Options().ReadTimeout = 30 * time.Second // the snapshot of a million tasks is one command
	r := rigOn(t, rdb, fmt.Sprintf("url = %q", s.URL()))
	r.redis = s
	return r
}

// rigOn makes a rig on a Redis that the caller has.
func rigOn(t *testing.T, rdb redis.UniversalClient, where string) *rig {
	t.Helper()
	proc.Build(t)
	r := &rig{T: t, rdb: rdb, where: where, journal: proc.NewJournal(t), lease: 10 * time.Second, stop: func() {}}
	t.Cleanup(func() {
		r.halt()
		r.rdb.Close()
	})
	var err error
	r.client, err = scheduler.New(rdb, scheduler.Options{Namespace: namespace})
	r.must(err)
	r.h.Queues = make(map[string]check.Promise)
	return r
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *rig) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	r.Cleanup(cancel)
	return ctx
}

// configure writes the file: head are lines for the top, then the blocks.
func (r *rig) configure(head string, blocks ...string) {
	r.Helper()
	if r.file == "" {
		r.file = filepath.Join(r.TempDir(), "config.hcl")
	}
	text := fmt.Sprintf("namespace = %q\nplugin_dir = %q\nlease = %q\n%s\nredis {\n%s\n}\nhandler \"echo\" {\nconfig { journal = %q }\n}\n",
		namespace, proc.Build(r).PluginDir, r.lease, head, r.where, r.journal.Path)
	r.must(os.WriteFile(r.file, []byte(text+strings.Join(blocks, "\n")+"\n"), 0o644))
}

// queue is a queue block whose tasks the checker judges; it keeps all of them.
func (r *rig) queue(name string, attributes ...string) string {
	r.queues = append(r.queues, name)
	r.h.Queues[name] = check.Promise{Attempts: 5, History: 500_000}
	return fmt.Sprintf("queue %q {\nhandler = \"echo\"\nhistory = 500000\nretry { min = \"20ms\" }\n%s\n}\n", name, strings.Join(attributes, "\n"))
}

// limited notes a rate and a cap that the queues are under, for the checker.
func (r *rig) limited(name, rate string, most int, queues ...string) {
	r.Helper()
	parsed, err := ratelimit.Parse(rate)
	r.must(err)
	r.h.Limits = append(r.h.Limits, check.Limit{Name: name, Queues: queues, Cap: most, Epochs: []ratelimit.Epoch{{Rate: parsed}}})
}

// standard is the workload of most scenarios: a queue without a limit, one with a rate of
// its own, and two that share a limit with a cap.
func (r *rig) standard(head string) {
	r.Helper()
	r.configure(head, `limit "api" {
rate = "200/1s:20"
concurrency = 30
}`, r.queue("open"), r.queue("rated", `rate = "150/1s:10"`), r.queue("left", `limits = ["api"]`), r.queue("right", `limits = ["api"]`))
	r.limited("rated", "150/1s:10", 0, "rated")
	r.limited("api", "200/1s:20", 30, "left", "right")
}

// start starts n workers of the file.
func (r *rig) start(n int) {
	r.Helper()
	for range n {
		r.workers = append(r.workers, proc.Worker(r, r.file))
	}
}

// payloads of the tasks: short ones, some that fail at first or for good.
func payload(i int) string {
	switch {
	case i%40 == 7:
		return `{"fail": "scripted"}`
	case i%3 == 0:
		return `{"sleep": "60ms"}`
	}
	return `{"sleep": "5ms"}`
}

// produce submits to the rig's queues, every pause one task to each, until halt. A submit
// that gets no answer is counted and not repeated.
func (r *rig) produce(pause time.Duration) {
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	for _, queue := range r.queues {
		r.wg.Go(func() {
			ticker := time.NewTicker(pause)
			defer ticker.Stop()
			for i := 0; ; i++ {
				select {
				case <-ctx.Done():
					return
				case <-ticker.C:
				}
				r.submit(queue, payload(i))
			}
		})
	}
}

// submit puts one task in and writes down what came of it: "" when nobody knows.
func (r *rig) submit(queue, payload string) string {
	call, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	sent := proc.Mono()
	receipt, err := r.client.Submit(call, scheduler.SubmitRequest{Queue: queue, Payload: []byte(payload)})
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.h.Unknown++
		return ""
	}
	r.h.Acked = append(r.h.Acked, check.Ack{Task: receipt.ID, Queue: queue, SentNs: sent, AtNs: proc.Mono()})
	return receipt.ID
}

// put submits n tasks of one payload at once.
func (r *rig) put(queue string, n int, payload string) []string {
	r.Helper()
	tasks := slices.Repeat([]scheduler.SubmitRequest{{Payload: []byte(payload)}}, n)
	sent := proc.Mono()
	receipts, err := r.client.SubmitMany(r.ctx(), queue, tasks)
	r.must(err)
	ids := make([]string, n)
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, x := range receipts {
		ids[i] = x.ID
		r.h.Acked = append(r.h.Acked, check.Ack{Task: x.ID, Queue: queue, SentNs: sent, AtNs: proc.Mono()})
	}
	return ids
}

// halt ends the producers.
func (r *rig) halt() {
	r.stop()
	r.wg.Wait()
}

// more waits until n more tasks have been started.
func (r *rig) more(n int) {
	r.Helper()
	r.journal.WaitStarts(len(r.journal.Starts())+n, 30*time.Second)
}

// fault writes down what was done, once it is over. From is when it began.
func (r *rig) fault(kind check.Kind, from int64, process int, after time.Duration) check.Fault {
	f := check.Fault{Kind: kind, From: from, To: proc.Mono(), After: after, Process: process}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Faults = append(r.h.Faults, f)
	return f
}

// killWorkers kills workers at once as kill -9 does, demands that their plugins are gone
// within a second, and puts others in their places.
func (r *rig) killWorkers(which ...int) (faults []check.Fault) {
	r.Helper()
	var plugins []int
	for _, i := range which {
		plugins = append(plugins, proc.Children(r.workers[i].PID)...)
	}
	from := proc.Mono()
	for _, i := range which {
		r.workers[i].Signal(syscall.SIGKILL)
	}
	for _, i := range which {
		r.workers[i].Kill() // and waits until it is gone
		faults = append(faults, r.fault(check.WorkerKilled, from, r.workers[i].PID, r.lease+3*time.Second))
	}
	for _, pid := range plugins {
		r.gone(pid)
	}
	for _, i := range which {
		r.workers[i] = proc.Worker(r, r.file)
	}
	return faults
}

// gone demands that a process is gone within a second.
func (r *rig) gone(pid int) {
	r.Helper()
	proc.Eventually(r, time.Second, fmt.Sprintf("plugin %d is gone", pid), func() bool { return !proc.Alive(pid) })
}

// killPlugin kills the plugin of one worker.
func (r *rig) killPlugin(i int) check.Fault {
	r.Helper()
	pids := proc.Children(r.workers[i].PID)
	if len(pids) == 0 {
		return check.Fault{} // it is about to be started again
	}
	from := proc.Mono()
	proc.Kill(r, pids[0])
	return r.fault(check.PluginKilled, from, pids[0], 2*time.Second)
}

// killRedis kills Redis and starts it again. All that it has answered is in its file, so
// no task may run twice.
func (r *rig) killRedis() {
	r.Helper()
	from := proc.Mono()
	r.redis.Kill()
	r.redis.Restart()
	r.fault(check.Stall, from, 0, 0)
}

// pause stops one worker for as long as d. Its lease may have been renewed a second ago, so
// what is shorter than the rest of it is a stall.
func (r *rig) pause(i int, d time.Duration) {
	r.Helper()
	w := r.workers[i]
	from := proc.Mono()
	w.Signal(syscall.SIGSTOP)
	time.Sleep(d) // the fault
	w.Signal(syscall.SIGCONT)
	if d < r.lease-1500*time.Millisecond {
		r.fault(check.Stall, from, w.PID, 0)
	} else {
		r.fault(check.WorkerPaused, from, w.PID, r.lease+3*time.Second)
	}
}

// signal signals a process that is no worker.
func (r *rig) signal(pid int, s syscall.Signal) {
	r.Helper()
	r.must(syscall.Kill(pid, s))
}

// during judges the states while all goes on: what is running, lost or doubled shows in
// any snapshot.
func (r *rig) during() {
	r.Helper()
	h := r.history()
	h.Drained = false
	r.report(h, "during the faults: ", func(v check.Violation) bool {
		return slices.Contains([]string{"I1", "I2", "I3"}, v.Invariant)
	})
}

// history is a copy of what is known by now. Acks come before the snapshot, and events
// after it, so that each task of the one is in the others.
func (r *rig) history() *check.History {
	r.Helper()
	r.mu.Lock()
	h := r.h
	h.Acked, h.Faults = slices.Clone(h.Acked), slices.Clone(h.Faults)
	r.mu.Unlock()
	var err error
	h.Now, err = check.Read(r.ctx(), r.rdb, namespace, r.queues...)
	r.must(err)
	h.Events = r.journal.Entries()
	h.Alive = make(map[int]int)
	for _, e := range h.Events {
		if _, known := h.Alive[e.PID]; !known {
			h.Alive[e.PID] = plugin(e.PID)
		}
	}
	for pid, parent := range h.Alive {
		if parent == 0 {
			delete(h.Alive, pid)
		}
	}
	// what was submitted while the snapshot was taken is there and not among the acks
	r.mu.Lock()
	h.Unknown = r.h.Unknown + len(r.h.Acked) - len(h.Acked) + 2*len(r.queues)
	r.mu.Unlock()
	return &h
}

// plugin is the parent of a process that still is plugin echo, or 0.
func plugin(pid int) int {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil || strings.TrimSpace(string(name)) != "echo" {
		return 0
	}
	return proc.Parent(pid)
}

// verdict ends the load, waits until nothing is left to do, and has all judged.
func (r *rig) verdict(limit time.Duration) *check.History {
	r.Helper()
	r.halt()
	r.rest(limit)
	h := r.history()
	h.Drained, h.Unknown = true, r.h.Unknown
	r.report(h, "", func(check.Violation) bool { return true })
	return h
}

func (r *rig) report(h *check.History, when string, which func(check.Violation) bool) {
	r.Helper()
	for _, v := range check.Run(h) {
		if which(v) {
			r.Errorf("%s%v", when, v)
		}
	}
}

// rest waits until nothing waits, is scheduled or runs.
func (r *rig) rest(limit time.Duration) {
	r.Helper()
	deadline := time.Now().Add(limit)
	for _, name := range r.queues {
		for {
			q, err := r.client.Queue(r.ctx(), name)
			if err == nil && q.Waiting+q.Scheduled+q.Running == 0 {
				break
			}
			if time.Now().After(deadline) {
				r.Fatalf("queue %s has not come to rest within %v (%v): %+v", name, limit, err, q)
			}
			time.Sleep(10 * time.Millisecond) // between two looks
		}
	}
}

// figure logs what was measured.
func (r *rig) figure(format string, args ...any) {
	r.Helper()
	r.Logf("figure: "+format, args...)
}
