//go:build linux

// Package check decides whether a run kept its promises, from what it left behind: what
// producers wrote down of acknowledged tasks, what plugins wrote down of starts and
// finishes, which faults there were and when, and a snapshot of Redis. It believes
// nobody: it looks into no package of the runtime, and what Redis says of itself is held
// against the journals. The invariants I1 to I15 are those of docs/guarantees.md.
package check

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/tests/proc"
)

// History is all that is known of one run.
type History struct {
	Acked   []Ack
	Unknown int          // tasks whose submit got no answer: each may be there or not
	Events  []proc.Entry // starts and finishes, in the order they were written
	Faults  []Fault
	Limits  []Limit
	Clock   []Reading          // in their order; nil: no start is held against its grant
	Jumps   int64              // how often Redis' clock went forward; each is worth a burst
	Reply   time.Duration      // how long a reply of Redis may be under way: starts may be later by as much
	Queues  map[string]Promise // of the queues that are judged
	Now     *Snapshot          // nil: only the journals are judged
	Alive   map[int]int        // live plugin processes to their parents; nil: not looked at
	Drained bool               // nothing was to be left undone
	Pressed bool               // each limit and each cap had more to do than it lets
}

// Ack is an acknowledged submit, by the monotonic clock.
type Ack struct {
	Task, Queue  string
	SentNs, AtNs int64
}

// Promise is what a queue's tasks may count on.
type Promise struct {
	Attempts int // most charged runs
	Cap      int // most running at once over all workers; 0 for any
	History  int // most ended tasks kept
}

// Limit is a rate that one queue or several are under.
type Limit struct {
	Name   string
	Queues []string
	Epochs []ratelimit.Epoch // by engine time
	Cap    int               // most running at once; 0 for any
}

// Fault is something that was done to the run, by the monotonic clock. What it explains
// reaches a little beyond: see After.
type Fault struct {
	Kind    Kind
	From    int64
	To      int64         // when it was over
	After   time.Duration // and how long it can show after that, as until a lease has ended
	Process int           // the worker or the plugin it was done to; 0 is all
}

// Kind of a fault.
type Kind string

// Kinds of faults: a worker or plugin that is gone, or a worker that stood still for longer
// than its lease; Redis that has lost what it acknowledged. A stall is anything that may
// waste tokens and must not run a task twice: Redis away, however long, a worker that
// stood still within its lease, connections cut.
const (
	WorkerKilled Kind = "worker killed"
	PluginKilled Kind = "plugin killed"
	WorkerPaused Kind = "worker paused"
	RedisLost    Kind = "redis lost writes"
	Stall        Kind = "stall"
)

// Violation is one broken invariant.
type Violation struct {
	Invariant string // "I1"
	What      string
}

func (v Violation) String() string { return v.Invariant + ": " + v.What }

// Run decides all invariants and returns what was broken, in their order.
func Run(h *History) []Violation {
	c := newJudge(h)
	for _, part := range []func(){
		c.oneState, c.leases, c.atLeastOnce, c.fences, c.rates, c.charges, c.duplicates,
		c.concurrency, c.pressure, c.rest, c.attempts, c.memory, c.processes,
	} {
		part()
	}
	slices.SortStableFunc(c.found, func(a, b Violation) int {
		return order(a.Invariant) - order(b.Invariant)
	})
	return c.found
}

func order(invariant string) int {
	n := 0
	_, _ = fmt.Sscanf(invariant, "I%d", &n)
	return n
}

// judge holds a history sorted for the questions that are asked of it.
type judge struct {
	*History
	runs   map[string][]*run // of each task, by start
	all    []*run
	faults []Fault // by their beginning
	found  []Violation
}

// run is one start and what became of it.
type run struct {
	proc.Entry
	begin, end int64  // monotonic; end is that of the finish or of its process, or lasts
	outcome    string // "" when no finish was written
}

// forever is the end of a run that is not known to have ended.
const forever = int64(1) << 62

func newJudge(h *History) *judge {
	c := &judge{History: h, runs: make(map[string][]*run)}
	c.faults = slices.SortedFunc(slices.Values(h.Faults), func(a, b Fault) int { return cmp.Compare(a.From, b.From) })
	type key struct {
		task  string
		fence int64
		pid   int
	}
	open := make(map[key]*run)
	for _, e := range h.Events {
		k := key{e.Task, e.Fence, e.PID}
		if e.Event == "start" {
			r := &run{Entry: e, begin: e.MonoNs, end: forever}
			c.runs[e.Task] = append(c.runs[e.Task], r)
			c.all = append(c.all, r)
			open[k] = r
		} else if r := open[k]; r != nil {
			r.end, r.outcome = e.MonoNs, e.Outcome
		} else {
			c.bad("I5", "task %s finished without a start under fence %d in process %d", e.Task, e.Fence, e.PID)
		}
	}
	for _, r := range c.all {
		if r.outcome == "" {
			r.end = c.death(r)
		}
	}
	for _, list := range c.runs {
		slices.SortStableFunc(list, func(a, b *run) int { return cmp.Compare(a.begin, b.begin) })
	}
	return c
}

// dying is how long after a kill a process may still begin a run: a plugin outlives its
// worker by so much, and another process has its id only much later.
const dying = time.Second

// death is when the process of a run that has no finish is known to have gone.
func (c *judge) death(r *run) int64 {
	end := forever
	for _, f := range c.faults {
		gone := f.Kind == PluginKilled && f.Process == r.PID || f.Kind == WorkerKilled && f.Process == r.Worker
		if gone && f.To+dying.Nanoseconds() >= r.begin {
			end = min(end, max(f.To, r.begin))
		}
	}
	return end
}

// explained tells whether some fault that was done to the process of a run, or to all,
// shows between two instants.
func (c *judge) explained(r *run, from, to int64, kinds ...Kind) bool {
	for _, f := range c.faults {
		if f.Kind == Stall || len(kinds) > 0 && !slices.Contains(kinds, f.Kind) {
			continue
		}
		mine := f.Process == 0 || f.Process == r.Worker || f.Process == r.PID
		if mine && f.From <= to && f.To+f.After.Nanoseconds() >= from {
			return true
		}
	}
	return false
}

func (c *judge) bad(invariant, format string, args ...any) {
	c.found = append(c.found, Violation{invariant, fmt.Sprintf(format, args...)})
}

// some reports how many of a kind there are, and names a few of them.
func (c *judge) some(invariant, what string, list []string) {
	if len(list) == 0 {
		return
	}
	slices.Sort(list)
	c.bad(invariant, "%d %s: %s", len(list), what, few(list))
}

func few(list []string) string {
	if len(list) > 5 {
		return strings.Join(list[:5], ", ") + ", …"
	}
	return strings.Join(list, ", ")
}
