//go:build linux

package check

import (
	"slices"

	"github.com/throttlerd/throttlerd/ratelimit"
)

// rates decides I6: the grants of what was started keep every limit, exactly, in every
// window; and no start lies before its grant by the clock of a machine that is right.
func (c *judge) rates() {
	for _, l := range c.Limits {
		if len(l.Epochs) == 0 {
			continue
		}
		var grants []ratelimit.Grant
		for _, r := range c.all {
			if slices.Contains(l.Queues, r.Queue) {
				grants = append(grants, ratelimit.Grant{At: r.GrantUs, Cost: 1})
			}
		}
		if err := ratelimit.CheckEpochs(l.Epochs, 0, grants); err != nil {
			c.bad("I6", "limit %s: %v", l.Name, err)
		}
	}
}

// charges decides I7: every start paid its token, and without a fault nothing else did.
func (c *judge) charges() {
	if c.Now == nil {
		return
	}
	starts := make(map[string]int64)
	for _, r := range c.all {
		starts[r.Queue]++
	}
	for name, q := range c.Now.Queues {
		if _, judged := c.Queues[name]; !judged {
			continue
		}
		c.paid("queue "+name, starts[name], q.Counts["spent"], q.Counts["wasted"])
	}
	for _, l := range c.Limits {
		fields, named := c.Now.Limits[l.Name]
		if !named {
			continue
		}
		var n int64
		for _, q := range l.Queues {
			n += starts[q]
		}
		c.paid("limit "+l.Name, n, number(fields["spent"]), number(fields["wasted"]))
	}
}

func (c *judge) paid(what string, starts, spent, wasted int64) {
	switch {
	case spent < starts:
		c.bad("I7", "%s spent %d tokens for %d starts", what, spent, starts)
	case len(c.Faults) == 0 && c.Drained && (wasted != 0 || spent != starts):
		c.bad("I7", "%s spent %d tokens, %d of them wasted, for %d starts without a fault", what, spent, wasted, starts)
	}
}
