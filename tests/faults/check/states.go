//go:build linux

package check

import (
	"maps"
	"math"
)

// oneState decides I1 and I2: each acknowledged task is in exactly one place, or was
// trimmed from a history that is full; and its record is there as long as it is.
func (c *judge) oneState() {
	if c.Now == nil {
		return
	}
	acked := make(map[string]map[string]bool)
	for _, a := range c.Acked {
		if acked[a.Queue] == nil {
			acked[a.Queue] = make(map[string]bool)
		}
		acked[a.Queue][a.Task] = true
	}
	strangers := 0
	for name, q := range c.Now.Queues {
		place := c.place(name, q)
		var lost, bare []string
		for id := range acked[name] {
			if place[id] == "" && !c.finished(id) {
				lost = append(lost, id)
			} else if place[id] == "" {
				bare = append(bare, id)
			}
		}
		c.some("I1", "acknowledged tasks of queue "+name+" are lost", lost)
		over := q.Counts["done"] - int64(len(q.Ended)) // what a full history has let go, at most
		if trimmed := int64(len(bare)); trimmed > max(0, over) {
			c.some("I1", "tasks of queue "+name+" ran and are in no place, though its history is not full", bare)
		}
		for id := range place {
			if !acked[name][id] {
				strangers++
			}
		}
	}
	if len(c.Acked) > 0 && strangers > c.Unknown {
		c.bad("I1", "%d tasks are there that nobody submitted; %d submits got no answer", strangers, c.Unknown)
	}
}

// place finds where each task of a queue is, and reports what is in two places, what has
// no record, and counters that say otherwise.
func (c *judge) place(name string, q Queue) map[string]string {
	place, count := make(map[string]string), make(map[string]int64)
	put := func(ids []string, where string) {
		for _, id := range ids {
			if other := place[id]; other != "" {
				c.bad("I2", "task %s of queue %s is %s and %s", id, name, other, where)
			}
			place[id] = where
			count[where]++
		}
	}
	body := make(map[string]bool)
	for _, id := range q.Bodies {
		body[id] = true
	}
	put(q.Back, "waiting")
	put(q.Scheduled, "later")
	put(q.Dead, "dead")
	put(q.Ended, "ended")
	for _, l := range q.Running {
		put([]string{l.Task}, "running")
	}
	for _, id := range q.Waiting {
		if body[id] && place[id] != "ended" { // else it was cancelled in its list
			put([]string{id}, "waiting")
		}
	}
	var bare []string
	for id := range place {
		if !body[id] {
			bare = append(bare, id)
		}
		delete(body, id)
	}
	c.some("I2", "tasks of queue "+name+" have a place and no record", bare)
	var stray []string
	for id := range body {
		stray = append(stray, id)
	}
	c.some("I2", "records of queue "+name+" are of tasks that are nowhere", stray)
	for _, where := range []string{"waiting", "later", "dead", "ended", "running"} {
		if q.Counts[where] != count[where] {
			c.bad("I2", "queue %s counts %d %s tasks; there are %d", name, q.Counts[where], where, count[where])
		}
	}
	return place
}

func (c *judge) finished(task string) bool {
	for _, r := range c.runs[task] {
		if r.outcome == "done" {
			return true
		}
	}
	return false
}

// leases decides I3: a running task has one lease, of a worker that is known; no two have
// the same fence; a limit's count of running tasks is that of their leases.
func (c *judge) leases() {
	if c.Now == nil {
		return
	}
	fences := make(map[int64]string)
	held := make(map[string]int64)
	for _, q := range c.Now.Queues {
		for _, l := range q.Running {
			if _, ok := c.Now.Workers[l.Worker]; !ok {
				c.bad("I3", "task %s is leased to worker %s, which is not known", l.Task, l.Worker)
			}
			if other := fences[l.Fence]; other != "" {
				c.bad("I3", "tasks %s and %s run under the fence %d", other, l.Task, l.Fence)
			}
			fences[l.Fence] = l.Task
			for name, cost := range l.Charges {
				if cost > 0 {
					held[name]++
				}
			}
		}
	}
	for _, l := range c.Limits {
		fields, named := c.Now.Limits[l.Name]
		if n := number(fields["running"]); named && c.Drained && n != held[l.Name] {
			c.bad("I3", "limit %s counts %d running tasks; %d are leased under it", l.Name, n, held[l.Name])
		}
	}
}

// atLeastOnce decides I4, and of I5 that the outcome which counted was reported under the
// fence in force: that of the last grant of the task.
func (c *judge) atLeastOnce() {
	if c.Now == nil {
		return
	}
	var never, stale []string
	for _, q := range c.Now.Queues {
		for id, end := range maps.All(q.Ends) {
			if end.State != "done" {
				continue
			}
			var counted, last *run
			for _, r := range c.runs[id] {
				if r.outcome == "done" && r.GrantUs == end.Start {
					counted = r
				}
				if last == nil || r.Fence > last.Fence {
					last = r
				}
			}
			switch {
			case counted == nil:
				never = append(never, id)
			case counted != last:
				stale = append(stale, id)
			}
		}
	}
	c.some("I4", "tasks are done without a finished run of that grant", never)
	c.some("I5", "tasks are done by a run that was not their last grant", stale)
}

// States decides I1 to I3 of a snapshot alone, of tasks that no history has let go. It
// may have been taken under load.
func States(now *Snapshot, acked []Ack) []Violation {
	c := newJudge(&History{Acked: acked, Unknown: math.MaxInt, Now: now})
	c.oneState()
	c.leases()
	return c.found
}
