//go:build linux

package check

import (
	"fmt"
	"slices"
	"strings"
)

// single are the keys of a namespace that are there once; families are those that are
// there for each queue, limit, worker, index or owner.
var (
	single   = []string{"clock", "queues", "numbers", "ids", "indexes", "appointments", "expire", "workers", "edits", "l", "sweep"}
	families = []string{
		"q:", "tasks:", "wait:", "front:", "later:", "dead:", "ended:", "ends:", "due:", "idle:", "worker:", "run:", "stop:",
		"owned:", "bulk:", "progress:", "l:", "lr:", "lx:", "lw:", "limits:", "lane:", "lanefront:", "keys:", "keyready:", "keylater:", "keyfull:", "keystale:",
	}
)

// memory decides I13 and I14: histories are bounded, every key is one of those that the
// design names, of a worker or limit that exists, and carries the namespace's tag.
func (c *judge) memory() {
	if c.Now == nil {
		return
	}
	for name, q := range c.Now.Queues {
		if p := c.Queues[name]; p.History > 0 && len(q.Ended) > p.History {
			c.bad("I13", "queue %s keeps %d ended tasks; its history is %d", name, len(q.Ended), p.History)
		}
		if len(q.Ends) != len(q.Ended) {
			c.bad("I13", "queue %s has %d ended tasks and %d ends", name, len(q.Ended), len(q.Ends))
		}
	}
	var outside, unknown []string
	for _, key := range c.Now.Keys {
		rest, ours := strings.CutPrefix(key, c.Now.Prefix)
		switch {
		case !ours:
			outside = append(outside, key)
		case !slices.Contains(single, rest) && !c.known(rest):
			unknown = append(unknown, key)
		}
	}
	c.some("I14", "keys are outside of the namespace", outside)
	c.some("I13", "keys are of nothing that is known", unknown)
}

func (c *judge) known(rest string) bool {
	i := strings.IndexByte(rest, ':')
	if i < 0 || !slices.Contains(families, rest[:i+1]) {
		return false
	}
	name := rest[i+1:]
	switch rest[:i+1] { // progress is kept for a minute, whatever becomes of its worker
	case "worker:", "run:", "stop:":
		_, ok := c.Now.Workers[name]
		return ok
	}
	return name != ""
}

// processes decides I15: a plugin that lives is the child of a worker that lives.
func (c *judge) processes() {
	var orphans []string
	for _, r := range c.all {
		if parent, ok := c.Alive[r.PID]; ok && parent != r.Worker {
			orphans = append(orphans, fmt.Sprint(r.PID))
		}
	}
	slices.Sort(orphans)
	c.some("I15", "plugins have outlived their workers", slices.Compact(orphans))
}
