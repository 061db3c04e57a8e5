package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/throttlerd/throttlerd/scheduler"
)

// rows are the queues as lines, a header first.
type rows struct {
	lines   []string
	waiting []int64 // tasks, of each queue
}

// queueRows lays out the queues that a screen could show at most.
func queueRows(s snapshot, width int, wide bool) rows {
	if len(s.queues) == 0 {
		return rows{lines: []string{clip("No queues; make one: throttlectl queue create RATE", width)}}
	}
	named, keyed := used(s.queues)
	t := grid{
		{head: "QUEUE", least: 8}, {head: "HANDLER", least: 6, extra: 4}, {head: "POOL", least: 4, extra: 2}, {head: "RATE", least: 7}, {head: "STATE", drop: 4, least: 6},
		{head: "TOKENS", least: 5, drop: 5}, {head: "WAITING", short: "WAIT", right: true}, {head: "SCHEDULED", right: true, extra: 3},
		{head: "RUNNING", short: "RUN", right: true}, {head: "DEAD", right: true, extra: 5}, {head: "DONE", right: true, drop: 3},
		{head: "FAILED", short: "FAIL", right: true, drop: 2}, {head: "STARTS/S", short: "ST/S", right: true}, {head: "WORKERS", right: true, extra: 1},
		{head: "BLOCKED BY", least: 6},
	}
	if keyed {
		t = slices.Insert(t, 4, column{head: "KEYS", right: true, extra: 7})
	}
	if named {
		t = slices.Insert(t, 4, column{head: "LIMITS", least: 6, extra: 6})
	}
	var r rows
	for i := range s.queues {
		q := &s.queues[i]
		r.waiting = append(r.waiting, q.Waiting)
		if i >= maxScreen {
			continue
		}
		reached := "-"
		if q.reached >= 0 {
			reached = perSecond(q.reached)
		}
		tokens := "-"
		if len(q.Rates) > 0 {
			tokens = fmt.Sprintf("%s/%s", tokenLevel(q.Tokens), number(q.Capacity, wide))
		}
		running := number(q.Running, wide)
		if q.Concurrency > 0 {
			running += "/" + number(int64(q.Concurrency), wide)
		}
		cells := []string{q.Name, q.Handler, q.Pool, rateText(q.Rates, q.Override), queueState(q.Queue), tokens, number(q.Waiting, wide), number(q.Scheduled, wide),
			running, number(q.Dead, wide), number(q.Completed, wide), number(q.Failed, wide), reached,
			count(int64(q.Workers - q.Down)), q.blocks()}
		if keyed {
			cells = slices.Insert(cells, 4, keysText(q.Queue))
		}
		if named {
			cells = slices.Insert(cells, 4, strings.Join(q.Limits, ","))
		}
		t.add(cells...)
	}
	r.lines = t.lines(width)
	return r
}

// used tells whether a queue names limits, and whether one bounds its keys.
func used(queues []sampled) (named, keyed bool) {
	for i := range queues {
		named = named || len(queues[i].Limits) > 0
		keyed = keyed || queues[i].Key != nil
	}
	return named, keyed
}

// keysText is how many keys have waiting tasks.
func keysText(q scheduler.Queue) string {
	if q.Key == nil {
		return ""
	}
	return count(q.ActiveKeys)
}

// first are the header and the rows that fit, and how many there are more.
func (r rows) first(most, width int) []string {
	most = max(2, most)
	if len(r.lines) <= most && len(r.waiting) < maxScreen {
		return r.lines
	}
	shown := min(most, len(r.lines)) - 1 // one line for the rest
	var waiting int64
	for _, n := range r.waiting[shown-1:] {
		waiting += n
	}
	rest := fmt.Sprintf("… and %s with %s waiting", plural(int64(len(r.waiting)-shown+1), "more queue"), plural(waiting, "task"))
	return append(r.lines[:shown:shown], clip(rest, width))
}
