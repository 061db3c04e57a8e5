package config

import (
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"
)

const (
	maxDelay    = 30 * 24 * time.Hour
	maxAttempts = 10_000
	maxHistory  = 1_000_000
)

// queues reads the queue blocks; what they may refer to is given by name.
func (d *decoder) queues(blocks []*queueBlock, handlers, limits []string, c *Config) {
	seen := map[string]hcl.Range{}
	for _, b := range blocks {
		ok := d.declared("queue", b.Name, b.NameAt, seen)
		q := d.queue(b, handlers, limits)
		if ok {
			c.Queues = append(c.Queues, q)
		}
	}
}

// maxLength bounds max_length.
const maxLength = 1_000_000_000

func (d *decoder) queue(b *queueBlock, handlers, limits []string) Queue {
	q := NewQueue(b.Name, "")
	d.queueHandler(b, handlers, &q)
	d.name(b.Pool, &q.Pool)
	d.limitSpec(b.Body, b.Rate, b.Concurrency, b.DebtMax, &q.LimitSpec)
	d.queueLimits(b, limits, &q.Limits)
	d.keys(b, &q)
	d.duration(b.Timeout, &q.Timeout, time.Millisecond, maxDelay)
	d.retry(b.Retry, &q.Retry)
	d.integer(b.History, &q.History, 0, maxHistory)
	d.duration(b.ExpireAfter, &q.ExpireAfter, time.Second, maxDelay)
	d.integer(b.MaxLength, &q.MaxLength, 1, maxLength)
	d.boolean(b.Paused, &q.Paused)
	return q
}

// queueHandler finds the handler that a queue names, or the only one there is.
func (d *decoder) queueHandler(b *queueBlock, handlers []string, q *Queue) {
	before := len(d.diags)
	if d.text(b.Handler, &q.Handler) {
		if _, ok := slices.BinarySearch(handlers, q.Handler); ok {
			return
		}
		d.errorAt(b.Handler.Expr.Range(), "Unknown handler",
			"Queue %q sends its tasks to handler %q, but no handler block has that name.%s %s",
			shorten(b.Name), shorten(q.Handler), d.didYouMean(q.Handler, handlers), listDeclared("handler", handlers))
		return
	}
	switch {
	case len(d.diags) > before: // handler is there, but no text
	case len(handlers) == 1:
		q.Handler = handlers[0]
	default:
		d.errorAt(b.At, "Handler missing",
			"Queue %q names no handler, which it may leave out only where exactly one is declared. %s", shorten(b.Name), listDeclared("handler", handlers))
	}
}

func (d *decoder) retry(blocks []*retryBlock, to *Retry) {
	b := single(d, "retry", blocks, func(b *retryBlock) hcl.Range { return b.At })
	if b == nil {
		return
	}
	d.integer(b.MaxAttempts, &to.MaxAttempts, 1, maxAttempts)
	minSet := d.duration(b.Min, &to.Min, time.Millisecond, maxDelay)
	maxSet := d.duration(b.Max, &to.Max, time.Millisecond, maxDelay)
	d.fraction(b.Jitter, &to.Jitter)
	if (minSet || maxSet) && to.Min > to.Max {
		at := b.Max
		if minSet {
			at = b.Min
		}
		d.errorAt(at.Expr.Range(), "Duration out of range", "The shortest delay, min (%s), is longer than the longest, max (%s).",
			formatDuration(to.Min), formatDuration(to.Max))
	}
}
