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

// capped notes a queue's own cap, for the checker.
func (r *rig) capped(name string, most int) {
	p := r.h.Queues[name]
	p.Cap = most
	r.h.Queues[name] = p
}

// limited notes a rate and a cap that the queues are under, for the checker.
func (r *rig) limited(name, rate string, most int, queues ...string) {
	r.Helper()
	parsed, err := ratelimit.Parse(rate)
	r.must(err)
	r.h.Limits = append(r.h.Limits, check.Limit{Name: name, Queues: queues, Cap: most, Epochs: []ratelimit.Epoch{{Rate: parsed}}})
}

// standard is the workload of most scenarios: a queue without a limit, one with a rate of
// its own, and two that share a limit with a cap, of which one has a smaller cap too. The
// limits are less than produce asks for.
func (r *rig) standard(head string) {
	r.Helper()
	r.configure(head, `limit "api" {
rate = "60/1s:10"
concurrency = 8
}`, r.queue("open"), r.queue("rated", `rate = "80/1s:10"`), r.queue("left", `limits = ["api"]`, "concurrency = 3"), r.queue("right", `limits = ["api"]`))
	r.limited("rated", "80/1s:10", 0, "rated")
	r.limited("api", "60/1s:10", 8, "left", "right")
	r.capped("left", 3)
}

// start starts n workers of the file.
func (r *rig) start(n int) {
	r.Helper()
	for range n {
		r.workers = append(r.workers, proc.Worker(r, r.file))
	}
}

// payloads of the tasks: short ones, so that a rate is what holds a queue up, some that fail
// at first or for good, and from time to time several long ones, so that a cap is.
func payload(i int) string {
	switch {
	case i%40 == 7:
		return `{"fail": "scripted"}`
	case i%60 >= 45:
		return `{"sleep": "200ms"}`
	case i%3 == 0:
		return `{"sleep": "60ms"}`
	}
	return `{"sleep": "5ms"}`
}

// backlog is how many tasks wait in a queue that is under a limit, while Redis is away too.
const backlog = 40

// produce submits until halt: to a queue without a limit one task every pause, to the others
// ten times a second what makes up the backlog.
func (r *rig) produce(pause time.Duration) {
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	r.readClock()
	for _, queue := range r.queues {
		every, want := pause, func() int { return 1 }
		if slices.ContainsFunc(r.h.Limits, func(l check.Limit) bool { return slices.Contains(l.Queues, queue) }) {
			r.h.Pressed = true
			every, want = 100*time.Millisecond, func() int { return backlog - r.waiting(queue) }
		}
		r.wg.Go(func() {
			ticker := time.NewTicker(every)
			defer ticker.Stop()
			for i := 0; ; {
				select {
				case <-ctx.Done():
					return
				case <-ticker.C:
				}
				var tasks []string
				for range want() {
					tasks = append(tasks, payload(i))
					i++
				}
				_, _ = r.submit(queue, tasks...) // nobody may know what came of it
			}
		})
	}
}

// waiting is how many tasks wait in a queue; as many as are to when Redis is away.
func (r *rig) waiting(queue string) int {
	call, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	q, err := r.client.Queue(call, queue)
	if err != nil {
		return backlog
	}
	return int(q.Waiting)
}

// pressed logs how much the limits held up, and what faults have wasted of them.
func (r *rig) pressed(h *check.History) {
	r.Helper()
	for _, l := range h.Limits {
		last, all := check.Exhausted(l, h)
		spent := int64(0)
		for _, q := range l.Queues {
			spent += h.Now.Queues[q].Counts["spent"]
		}
		r.figure("limit %s: %d of %d grants came as its tokens did; %d tokens more were spent", l.Name, last, all, spent-int64(all))
	}
}

// submit puts tasks in and writes down what came of it. Those that got no answer are
// counted and not repeated.
func (r *rig) submit(queue string, payloads ...string) (ids []string, err error) {
	if len(payloads) == 0 {
		return nil, nil
	}
	tasks := make([]scheduler.SubmitRequest, len(payloads))
	for i, p := range payloads {
		tasks[i].Payload = []byte(p)
	}
	call, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	sent := proc.Mono()
	receipts, err := r.client.SubmitMany(call, queue, tasks)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range receipts {
		ids = append(ids, x.ID)
		r.h.Acked = append(r.h.Acked, check.Ack{Task: x.ID, Queue: queue, SentNs: sent, AtNs: proc.Mono()})
	}
	r.h.Unknown += len(tasks) - len(receipts)
	return ids, err
}

// put submits n tasks of one payload at once.
func (r *rig) put(queue string, n int, payload string) []string {
	r.Helper()
	r.readClock()
	ids, err := r.submit(queue, slices.Repeat([]string{payload}, n)...)
	r.must(err)
	return ids
}

// readClock notes what engine time it is, where Redis tells. On a busy machine the answer may
// be late, and says little then: it is asked again. Without a reading between two jumps of the
// clock nothing would tell the time between them.
func (r *rig) readClock() {
	call, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for {
		from := proc.Mono()
		now, err := r.client.Now(call)
		to := proc.Mono()
		if err != nil {
			return
		}
		if to-from < 5*time.Millisecond.Nanoseconds() {
			r.h.Clock = append(r.h.Clock, check.Reading{FromNs: from, ToNs: to, EngineUs: now.UnixMicro()})
			return
		}
	}
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
	r.readClock()
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

// aloneKilled kills a worker that runs tasks and lets nothing else happen until they wait
// again, which is to be within its lease and 2 s.
func (r *rig) aloneKilled() check.Fault {
	r.Helper()
	i, _ := r.occupy()
	death := r.killWorkers(i)[0]
	took, tasks := r.waitAgain(death)
	r.figure("a worker killed with %d tasks running: they waited again after %v", tasks, took.Round(time.Millisecond))
	if promised := r.lease + 2*time.Second; took > promised {
		r.Errorf("a task of a killed worker waited again after %v, not within %v", took, promised)
	}
	return death
}

// occupy puts long tasks in, waits until they run, and returns a worker that runs some.
func (r *rig) occupy() (worker int, tasks []string) {
	r.Helper()
	tasks = r.put("open", 20, `{"sleep": "1500ms"}`)
	proc.Eventually(r, 10*time.Second, "long tasks run", func() bool { return len(r.startsOf(tasks)) >= len(tasks) })
	first := r.startsOf(tasks)[0].Worker
	return slices.IndexFunc(r.workers, func(w *proc.Process) bool { return w.PID == first }), tasks
}

// startsOf are the starts of some tasks so far.
func (r *rig) startsOf(tasks []string) []proc.Entry {
	r.Helper()
	return r.journal.Starts(func(e proc.Entry) bool { return slices.Contains(tasks, e.Task) })
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
	h.Drained, h.Pressed = false, false
	r.report(h, "during the faults: ", func(v check.Violation) bool {
		return slices.Contains([]string{"I1", "I2", "I3"}, v.Invariant)
	})
}

// history is a copy of what is known by now. Acks come before the snapshot, and events
// after it, so that each task of the one is in the others.
func (r *rig) history() *check.History {
	r.Helper()
	r.readClock()
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
	h.Unknown = r.h.Unknown + len(r.h.Acked) - len(h.Acked) + 2*backlog*len(r.queues)
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
	if h.Pressed {
		r.pressed(h)
	}
	return h
}

// again demands that what deaths have cut short starts again in time: it waits again within
// the lease and so long, and a second is for its turn under a limit.
func (r *rig) again(h *check.History, deaths []check.Fault, lease, soon time.Duration) {
	r.Helper()
	longest, all, excused := time.Duration(0), 0, 0
	for _, f := range deaths {
		for _, x := range check.Again(h, f, lease) {
			all++
			if x.Excused {
				excused++
				continue
			}
			longest = max(longest, x.After)
			if x.After > lease+soon+time.Second {
				r.Errorf("task %s started again %v after process %d died; it waits again within %v", x.Task, x.After, f.Process, lease+soon)
			}
		}
	}
	r.figure("%d deaths cut %d tasks short; %d of them had no other fault in their way and started again within %v",
		len(deaths), all, all-excused, longest.Round(time.Millisecond))
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
