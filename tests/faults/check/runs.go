//go:build linux

package check

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// fences decides I5: a grant has a fence of its own, they grow from run to run of a task,
// and no grant is started twice.
func (c *judge) fences() {
	of := make(map[int64]string)
	var shared, twice, back []string
	for _, r := range c.all {
		if other, ok := of[r.Fence]; ok {
			if other == r.Task {
				twice = append(twice, r.Task)
			} else {
				shared = append(shared, fmt.Sprint(r.Fence))
			}
		}
		of[r.Fence] = r.Task
	}
	for id, runs := range c.runs {
		for i := 1; i < len(runs); i++ {
			if runs[i].Fence < runs[i-1].Fence {
				back = append(back, id)
			}
		}
	}
	c.some("I5", "fences were given to two tasks", shared)
	c.some("I7", "tasks were started twice under one grant", twice)
	c.some("I5", "tasks ran again under a lower fence", back)
}

// duplicates decides I8 and I9: a task runs again only after a run that failed, or where a
// fault that was done to its process, or to all, explains it; and two runs overlap only
// where the first worker stood still or was cut off, never in one process.
func (c *judge) duplicates() {
	var again, overlap []string
	for id, runs := range c.runs {
		for i := 1; i < len(runs); i++ {
			first, next := runs[i-1], runs[i]
			if !retried(first) && !c.explained(first, first.begin, min(c.settled(first), next.begin)) {
				again = append(again, fmt.Sprintf("%s (of worker %d, plugin %d, after %v)", id, first.Worker, first.PID, time.Duration(next.begin-first.begin).Round(time.Millisecond)))
			}
			if first.end <= next.begin {
				continue
			}
			if first.PID == next.PID || !c.explained(first, first.begin, next.begin) {
				overlap = append(overlap, id)
			}
		}
	}
	c.some("I8", "tasks ran again, and no fault or retry explains it", again)
	c.some("I9", "tasks ran twice at once", overlap)
}

// settles is how long after its finish the outcome of a run is known to Redis, and how long
// after an outage: starts go on within 2 s then, and so do settles.
const settles = 2 * time.Second

// settled is when the outcome of a run has counted: no later fault explains another run.
// It waits for a Redis that is away, or in a worker that stands still.
func (c *judge) settled(r *run) int64 {
	at := r.end + settles.Nanoseconds()
	for _, f := range c.faults {
		if (f.Process == 0 || f.Process == r.Worker) && f.From <= at && f.To >= r.end {
			at = max(at, f.To+settles.Nanoseconds())
		}
	}
	return at
}

// retried tells whether a run ended in a way after which the task is due to run again.
func retried(r *run) bool { return r.outcome != "" && r.outcome != "done" }

// concurrency decides I10: a cap holds at every instant.
func (c *judge) concurrency() {
	c.caps(func(what string, most, top int) {
		if top > most {
			c.bad("I10", "%s ran %d tasks at once; its cap is %d", what, top, most)
		}
	})
}

// caps tells of each queue and limit that has a cap how many tasks ran at once, at most.
func (c *judge) caps(tell func(what string, most, top int)) {
	for name, p := range c.Queues {
		if p.Cap > 0 {
			tell("queue "+name, p.Cap, c.atOnce(name))
		}
	}
	for _, l := range c.Limits {
		if l.Cap > 0 {
			tell("limit "+l.Name, l.Cap, c.atOnce(l.Queues...))
		}
	}
}

// atOnce is how many tasks of some queues ran at once, at most. Runs that a fault has cut
// from Redis may overlap with those that took their place, and do not count.
func (c *judge) atOnce(queues ...string) (top int) {
	type step struct {
		at int64
		by int
	}
	var steps []step
	for _, r := range c.all {
		if slices.Contains(queues, r.Queue) && !c.explained(r, r.begin, r.end, WorkerPaused, RedisLost) {
			steps = append(steps, step{r.begin, 1}, step{r.end, -1})
		}
	}
	slices.SortFunc(steps, func(a, b step) int { return cmp.Or(cmp.Compare(a.at, b.at), a.by-b.by) })
	n := 0
	for _, s := range steps {
		n += s.by
		top = max(top, n)
	}
	return top
}

// rest decides I11 where all was to be done: nothing waits, is scheduled or runs, and
// every acknowledged task was started.
func (c *judge) rest() {
	if !c.Drained {
		return
	}
	var never []string
	for _, a := range c.Acked {
		if len(c.runs[a.Task]) == 0 {
			never = append(never, a.Task)
		}
	}
	c.some("I11", "acknowledged tasks were never started", never)
	if c.Now == nil {
		return
	}
	for name, q := range c.Now.Queues {
		if n := len(q.Waiting) + len(q.Back) + len(q.Scheduled) + len(q.Running); n > 0 {
			c.bad("I11", "queue %s still has %d tasks to do", name, n)
		}
	}
}

// attempts decides I12: an attempt is charged for a run that failed and for nothing else,
// never more than there may be, and a task is dead only once they are used up.
func (c *judge) attempts() {
	var charged, many, early []string
	failed := make(map[string]int)
	for id, runs := range c.runs {
		before := 0
		for _, r := range runs {
			if r.Attempt > before+1 {
				charged = append(charged, id)
			}
			if p, ok := c.Queues[r.Queue]; ok && p.Attempts > 0 && r.Attempt > p.Attempts {
				many = append(many, id)
			}
			switch r.outcome {
			case "failed", "panic", "permanent", "retry_after":
				before++
			}
		}
		failed[id] = before
	}
	c.some("I12", "tasks were charged an attempt that did not fail", charged)
	c.some("I12", "tasks had more attempts than they may", many)
	if c.Now == nil {
		return
	}
	for name, q := range c.Now.Queues {
		for _, id := range q.Dead {
			if p := c.Queues[name]; p.Attempts > 0 && failed[id] < p.Attempts && !c.poison(id) && !c.gaveUp(id) {
				early = append(early, id)
			}
		}
	}
	c.some("I12", "tasks are dead with attempts left", early)
}

// poison tells whether a task had runs enough that nothing was written of but their start.
func (c *judge) poison(id string) bool {
	n := 0
	for _, r := range c.runs[id] {
		if r.outcome == "" {
			n++
		}
	}
	return n >= 3
}

// gaveUp tells whether the handler said that no retry can help.
func (c *judge) gaveUp(id string) bool {
	for _, r := range c.runs[id] {
		if r.outcome == "permanent" {
			return true
		}
	}
	return false
}

// Rerun is a task that the death of a process cut short, when it started again.
type Rerun struct {
	Task    string
	After   time.Duration // since the death
	Excused bool          // a later fault may have held it up
}

// Again returns the tasks that a death cut short and that started again. They can be taken
// back once the lease is over, which was renewed a second before at the earliest; from then
// on whoever takes one may die with it. A Redis that is away holds it up at any time.
func Again(h *History, death Fault, lease time.Duration) (list []Rerun) {
	c := newJudge(h)
	from := death.From + max(0, lease-time.Second).Nanoseconds()
	for id, runs := range c.runs {
		for i := 1; i < len(runs); i++ {
			r, next := runs[i-1], runs[i]
			if r.outcome != "" || r.end != death.To || r.Worker != death.Process && r.PID != death.Process {
				continue // or it was another death that cut it short
			}
			list = append(list, Rerun{id, time.Duration(next.begin - death.From), slices.ContainsFunc(c.faults, func(f Fault) bool {
				return f.Process != death.Process && f.From <= next.begin && (f.To >= from || f.Process == 0 && f.To >= death.From)
			})})
		}
	}
	return list
}

func number(text string) int64 {
	n, _ := strconv.ParseInt(text, 10, 64)
	return n
}
