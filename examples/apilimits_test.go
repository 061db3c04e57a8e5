//go:build linux

package examples

import (
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/tests/proc"
)

// The first task of each endpoint starts at once, the second with the next token.
func TestAPILimits(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := s.config("api-limits/config.hcl")
	proc.Worker(t, file)
	for _, c := range []struct {
		queue string
		each  time.Duration
	}{
		{"posts", 3 * time.Second},
		{"issues", 720 * time.Millisecond},
		{"messages", time.Second},
	} {
		first, second := c.queue+"-1", c.queue+"-2"
		if r := ctl[receipt](s, file, "submit", c.queue, "--id", first); r.Position != 0 {
			t.Errorf("%s: the first task has position %d", c.queue, r.Position)
		}
		r := ctl[receipt](s, file, "submit", c.queue, "--id", second)
		q := ctl[queue](s, file, "queue", "show", c.queue)
		one, two := s.waitDone(file, first), s.waitDone(file, second)

		if one.StartedAt.Sub(one.SubmittedAt) > c.each {
			t.Errorf("%s: the first task started %v after its submit", c.queue, one.StartedAt.Sub(one.SubmittedAt))
		}
		next := one.SubmittedAt.Add(c.each) // the first token was taken then, or a little later
		if r.EarliestStart.Before(next) || r.EarliestStart.After(two.SubmittedAt.Add(c.each)) {
			t.Errorf("%s: the second task is said to start at %v, the next token comes at %v", c.queue, r.EarliestStart, next)
		}
		if two.StartedAt.Before(next) {
			t.Errorf("%s: the second task started at %v, before its token at %v", c.queue, two.StartedAt, next)
		}
		if wait := q.NextToken; wait > c.each.Seconds() {
			t.Errorf("%s: the next token is said to come in %v s", c.queue, wait)
		}
	}
}

type receipt struct {
	Position      int
	EarliestStart time.Time `json:"earliest_start"`
}

type queue struct {
	NextToken float64 `json:"next_token_in_seconds"`
}
