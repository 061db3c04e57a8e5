package ratelimit

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// mostTakes is how many takes one call of the script decides.
const mostTakes = 128

// gatherer sends the takes of any number of goroutines in few calls: while one call is
// under way, those that come meanwhile are gathered for the next. A take that comes alone
// is sent at once.
type gatherer struct {
	mu      sync.Mutex
	waiting []*taking // to be sent
	sending bool
}

// taking is one take. Its reply is there once done is closed.
type taking struct {
	name  string
	n     int64
	reply []int64
	err   error
	done  chan struct{}
}

// decide has a take decided. When ctx ends first, the take is withdrawn if it has not been
// sent; if it has, nobody knows whether the tokens were taken.
func (l *Limiter) decide(ctx context.Context, name string, n int64) ([]int64, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t := &taking{name: name, n: n, done: make(chan struct{})}
	g := &l.takes
	g.mu.Lock()
	g.waiting = append(g.waiting, t)
	if !g.sending {
		g.sending = true
		go l.send()
	}
	g.mu.Unlock()
	select {
	case <-t.done:
		return t.reply, t.err
	case <-ctx.Done():
		g.mu.Lock()
		defer g.mu.Unlock()
		g.waiting = slices.DeleteFunc(g.waiting, func(w *taking) bool { return w == t })
		return nil, ctx.Err()
	}
}

// send sends what waits, until nothing does.
func (l *Limiter) send() {
	g := &l.takes
	for {
		g.mu.Lock()
		batch := g.waiting[:min(len(g.waiting), mostTakes)]
		g.waiting = g.waiting[len(batch):]
		if len(batch) == 0 {
			g.waiting, g.sending = nil, false
			g.mu.Unlock()
			return
		}
		g.mu.Unlock()
		args := make([]any, 0, 2*len(batch))
		for _, t := range batch {
			args = append(args, t.name, t.n)
		}
		// not under the context of one of them: its end is none of the others' business
		replies, err := takeScript.run(context.Background(), l.rdb, l.clockKey(), args...).Slice()
		if err == nil && len(replies) != len(batch) {
			err = fmt.Errorf("%d replies to %d takes", len(replies), len(batch))
		}
		for i, t := range batch {
			if t.err = err; err == nil {
				t.reply, t.err = numbers(replies[i])
			}
			close(t.done)
		}
	}
}

// numbers reads a reply of integers.
func numbers(v any) ([]int64, error) {
	list, _ := v.([]any)
	out := make([]int64, len(list))
	for i, x := range list {
		n, ok := x.(int64)
		if !ok {
			return nil, fmt.Errorf("unexpected reply %v", v)
		}
		out[i] = n
	}
	return out, nil
}
