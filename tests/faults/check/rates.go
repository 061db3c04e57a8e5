//go:build linux

package check

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
)

// rates decides I6: the grants of what was started keep every limit, exactly, in every
// window; and starts are where their grants are.
func (c *judge) rates() {
	for _, l := range c.Limits {
		if len(l.Epochs) == 0 {
			continue
		}
		if err := ratelimit.CheckEpochs(l.Epochs, 0, c.grants(l)); err != nil {
			c.bad("I6", "limit %s: %v", l.Name, err)
		}
		c.instants(l)
	}
}

// grants are those of the runs under a limit.
func (c *judge) grants(l Limit) (list []ratelimit.Grant) {
	for _, r := range c.all {
		if slices.Contains(l.Queues, r.Queue) {
			list = append(list, ratelimit.Grant{At: r.GrantUs, Cost: 1})
		}
	}
	return list
}

// charges decides I7: every start paid its token, and nothing else did but what a fault
// has kept from starting.
func (c *judge) charges() {
	if c.Now == nil {
		return
	}
	starts := make(map[string]int64)
	for _, r := range c.all {
		starts[r.Queue]++
	}
	for name, q := range c.Now.Queues {
		if _, judged := c.Queues[name]; judged {
			c.paid("queue "+name, starts[name], q.Counts["spent"], q.Counts["wasted"], c.over(name))
		}
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
		c.paid("limit "+l.Name, n, number(fields["spent"]), number(fields["wasted"]), []Limit{l})
	}
}

// over are the limits that a queue is under.
func (c *judge) over(queue string) (list []Limit) {
	for _, l := range c.Limits {
		if slices.Contains(l.Queues, queue) {
			list = append(list, l)
		}
	}
	return list
}

// paid holds what was spent against the starts. What a fault kept from starting is wasted,
// and counted as that: exactly, where no process died. Of one that did nobody knows what it
// had begun: all that was granted after its last renewal is counted then, and nothing that
// was granted before and on its way to a handler still.
func (c *judge) paid(what string, starts, spent, wasted int64, limits []Limit) {
	unused, deaths := spent-starts, int64(0)
	for _, f := range c.faults {
		if f.Kind != Stall {
			deaths++
		}
	}
	switch {
	case unused < 0:
		c.bad("I7", "%s spent %d tokens for %d starts", what, spent, starts)
	case !c.Drained:
	case deaths == 0 && unused != wasted:
		c.bad("I7", "%s spent %d tokens for %d starts and counts %d wasted; no process died", what, spent, starts, wasted)
	case unused > wasted+deaths*min(128, granted(limits, within)): // no claim brings more
		c.bad("I7", "%s spent %d tokens for %d starts and counts %d wasted; %d processes died", what, spent, starts, wasted, deaths)
	case unused > c.mayWaste(limits):
		c.bad("I7", "%s spent %d tokens for %d starts; its %d faults may waste %d", what, spent, starts, len(c.faults), c.mayWaste(limits))
	}
}

// within is how long before its start, and after its instant, a task may be on its way to
// its handler: the look-ahead, and what may be late.
const within = 50*time.Millisecond + startsWithin

// granted is how many tokens can have been granted for instants in a time, by the least of
// some limits.
func granted(limits []Limit, in time.Duration) int64 {
	least := int64(math.MaxInt64)
	for _, l := range limits {
		r := l.Epochs[0].Rate
		least = min(least, r.Burst+r.N*in.Nanoseconds()/r.Period.Nanoseconds())
	}
	return least
}

// mayWaste is how many tokens all faults together may have kept from a start: of each what
// was granted while it went on, and what was on its way before. A dead worker that was idle
// is handed tasks until its lease is over; where all queues are pressed none is idle.
func (c *judge) mayWaste(limits []Limit) (n int64) {
	if len(limits) == 0 {
		return math.MaxInt64
	}
	for _, f := range c.faults {
		in := within + time.Duration(f.To-f.From)
		if !c.Pressed {
			in += f.After
		}
		n += granted(limits, in)
	}
	return n
}

// pressure demands that limits and caps were reached: that grants came as the tokens of each
// limit did, not only those of its first burst, and that all places of each cap
// were taken. A run that asks for less shows nothing of them.
func (c *judge) pressure() {
	if !c.Pressed {
		return
	}
	for _, l := range c.Limits {
		if last, all := Exhausted(l, c.History); int64(last) < 2*l.Epochs[0].Rate.Burst {
			c.bad("I6", "only %d of %d grants of limit %s came as its tokens did: too little was asked of it", last, all, l.Name)
		}
	}
	c.caps(func(what string, most, top int) {
		if top < most {
			c.bad("I10", "%s ran %d tasks at once and has %d places: too little was asked of it", what, top, most)
		}
	})
}

// Exhausted is how many of the grants of a limit came when their token did: they left less
// than a token; or after the one before them just as many tokens had come. By the second, for
// what a fault keeps from its start is missing here, and is held to be left from then on.
func Exhausted(l Limit, h *History) (last, all int) {
	rate, grants := l.Epochs[0].Rate, newJudge(h).grants(l)
	slices.SortFunc(grants, func(a, b ratelimit.Grant) int { return cmp.Compare(a.At, b.At) })
	token := rate.Period.Microseconds() // in parts of which N come each µs
	full := rate.Burst * token
	left, at := full, int64(0)
	for _, g := range grants {
		came := min(g.At-at, full/rate.N+1) * rate.N
		left = min(full, left+came) - token
		off := (came + rate.N) % token // instants are whole µs: one more or less
		if at = g.At; left < token || came >= token-rate.N && came < full && off <= 2*rate.N && token > 100*rate.N {
			last++
		}
	}
	return last, len(grants)
}
