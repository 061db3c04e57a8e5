package scheduler

import (
	"maps"
	"sync"
	"time"
)

// claims are the numbers of a session's claims. A claim that is asked for takes the number
// behind the last, and so does a submit that hands a task over, and tells the worker. Replies
// and what submits tell come by two ways, in no order between them, and either may be lost. A
// claim with a number that is taken gives the leases of all claims from it on: so each is asked
// with the first number of which nothing is known, and no task is missed. How long the lease
// stands, which claims renew as ticks do, is kept here as well.
type claims struct {
	mu     sync.Mutex
	last   int64          // all up to it are known
	ahead  map[int64]bool // known beyond it: handed over, while one before them is not known
	asked  int64          // under way; 0: none. It is asked again until there is a reply
	fence  int64          // the highest that was given
	stands time.Time      // the lease does, until then at least
}

// ask returns the number to ask with.
func (c *claims) ask() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked == 0 {
		c.asked = c.last + 1
	}
	return c.asked
}

// taken: the claim that was asked has taken its number, and given fences up to this one.
func (c *claims) taken(fence int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.know(c.asked)
	c.asked, c.fence = 0, max(c.fence, fence)
}

// again: the number that was asked had been taken, as all up to the last one; the leases from
// it on have fences up to this one.
func (c *claims) again(last, fence int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.ahead, func(n int64, _ bool) bool { return n <= last })
	c.last = max(c.last, last-1)
	c.know(last)
	c.asked, c.fence = 0, max(c.fence, fence)
}

// handed: a submit has taken a number and given a fence. It is false when a claim has told of it
// already: that gave all up to a higher fence, or this one. By the number that cannot be seen,
// for a Redis that lost its last writes gives it again.
func (c *claims) handed(claim, fence int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if fence <= c.fence {
		return false
	}
	c.know(claim)
	c.fence = fence
	return true
}

// know notes a number, and goes on over those that follow. Under c.mu.
func (c *claims) know(claim int64) {
	switch {
	case claim <= c.last:
		return
	case claim == c.last+1:
		c.last = claim
	case c.ahead == nil:
		c.ahead = map[int64]bool{claim: true}
	default:
		c.ahead[claim] = true
	}
	for c.ahead[c.last+1] {
		c.last++
		delete(c.ahead, c.last)
	}
}

// forget: a lease is given back; what tells of it comes too late.
func (c *claims) forget(fence int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fence = max(c.fence, fence)
}

// behind tells whether numbers are taken of which nothing is known yet.
func (c *claims) behind(last int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return last > c.last
}

// renewed: the lease stands until t.
func (c *claims) renewed(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.After(c.stands) {
		c.stands = t
	}
}

// until is how long the lease stands.
func (c *claims) until() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stands
}
