package pluginhost

import (
	"math/rand/v2"
	"time"
)

const (
	minBackoff = 100 * time.Millisecond
	maxBackoff = 30 * time.Second

	// healthyAfter is how long a process must have lived for its end to count
	// as the first.
	healthyAfter = 10 * time.Second

	// So many ends within crashWindow make a plugin that keeps coming up and
	// dying one that fails.
	crashLimit  = 5
	crashWindow = 5 * time.Minute
)

// backoff decides when a plugin is started again. It is told what happens and
// reads no clock.
type backoff struct {
	up     time.Time   // when the present process came up
	streak int         // ends and failed starts without a healthy life between
	ends   []time.Time // the last ones, at most crashLimit
}

func (b *backoff) started(now time.Time) { b.up = now }

func (b *backoff) ended(now time.Time) {
	if now.Sub(b.up) >= healthyAfter {
		b.streak = 0
	}
	b.failed(now)
}

func (b *backoff) failed(now time.Time) {
	b.streak++
	b.ends = append(b.ends, now)
	if len(b.ends) > crashLimit {
		b.ends = b.ends[1:]
	}
}

// phase tells whether a plugin that just ended counts as failing.
func (b *backoff) phase() Phase {
	if b.broken() {
		return Failing
	}
	return Starting
}

// broken tells whether the last ends came too close upon each other.
func (b *backoff) broken() bool {
	last := len(b.ends) - 1
	return len(b.ends) == crashLimit && b.ends[last].Sub(b.ends[0]) <= crashWindow
}

// delay is the wait before the next start: 0.1 s, doubled with each end in a
// row up to 30 s, and 30 s at once for a plugin that fails, however long its
// processes lived. Of all of them up to half is left out at random.
func (b *backoff) delay() time.Duration {
	d := maxBackoff
	if shift := b.streak - 1; shift < 9 && !b.broken() {
		d = min(minBackoff<<max(shift, 0), maxBackoff)
	}
	return d/2 + rand.N(d/2+1)
}
