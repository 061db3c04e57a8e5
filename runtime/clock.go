package runtime

import (
	"sync"
	"time"
)

// engineClock estimates how late a start is by engine time, which no worker can read
// without a call. The least delay of any reply lately seen ties this machine's
// monotonic clock to it: a slow network alone makes nothing late, a stall does.
type engineClock struct {
	mu         sync.Mutex
	base       time.Time
	least      int64 // of local minus engine µs, in this window and the one before
	lastWindow int64
	window     time.Time // its end
}

const clockWindow = 30 * time.Second

func (c *engineClock) local(t time.Time) int64 { return t.Sub(c.base).Microseconds() }

// observe notes that engine time was engine (µs) not after received.
func (c *engineClock) observe(received time.Time, engine int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.base.IsZero() {
		c.base = received
	}
	d := c.local(received) - engine
	switch {
	case received.After(c.window.Add(clockWindow)):
		c.least, c.lastWindow = d, d
		c.window = received.Add(clockWindow)
	case received.After(c.window):
		c.least, c.lastWindow = d, c.least
		c.window = received.Add(clockWindow)
	case d < c.least:
		c.least = d
	}
}

// late is how long ago, at now, the engine instant was.
func (c *engineClock) late(now time.Time, engine int64) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Duration(c.local(now)-engine-min(c.least, c.lastWindow)) * time.Microsecond
}
