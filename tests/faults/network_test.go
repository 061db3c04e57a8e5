//go:build linux

package faults

import (
	"fmt"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/tests/faults/check"
	"github.com/throttlerd/throttlerd/tests/proc"
)

// behindProxy makes a rig whose workers reach Redis through a proxy; its producers do not.
func behindProxy(t *testing.T) (*rig, *proxy) {
	t.Helper()
	rnd := seeded(t)
	r := newRig(t)
	p := newProxy(t, r.redis.Socket(), rnd)
	r.where = fmt.Sprintf("url = %q", "unix://"+p.path+"?db=0")
	return r, p
}

// Row 23: one reply of thirty never arrives, though what was asked is done. The same
// claim is asked again and returns the same tasks: none is granted twice or lost.
func TestRepliesLost(t *testing.T) {
	t.Parallel()
	r, p := behindProxy(t)
	r.standard("")
	r.start(3)
	from := proc.Mono()
	p.lose.Store(30)
	r.produce(12 * time.Millisecond)
	parts := 1
	if long() {
		parts = 33
	}
	for range parts {
		r.more(600)
	}
	r.during()
	p.lose.Store(0)
	r.fault(check.Stall, from, 0, 0)
	h := r.verdict(20 * time.Second)
	q := h.Now.Queues["rated"].Counts
	r.figure("%d replies lost: %d tasks, %d starts; of queue rated %d tokens spent, %d wasted", p.lost.Load(), len(h.Acked), starts(h), q["spent"], q["wasted"])
	if p.lost.Load() == 0 {
		t.Error("no reply was lost")
	}
}

// Row 25: each piece of a conversation takes 150 to 450 ms. Limits hold, leases are kept,
// nothing runs twice.
func TestSlowNetwork(t *testing.T) {
	t.Parallel()
	r, p := behindProxy(t)
	r.lease = 5 * time.Second
	r.standard("")
	r.start(3)
	r.produce(25 * time.Millisecond)
	r.more(50)
	from := proc.Mono()
	p.delay.Store(int64(300 * time.Millisecond))
	r.h.Reply = 450 * time.Millisecond
	time.Sleep(8 * time.Second) // the fault
	r.during()
	until := proc.Mono()
	p.delay.Store(0)
	r.fault(check.Stall, from, 0, 0)
	h := r.verdict(30 * time.Second)
	slow := make(map[string]int)
	for _, e := range h.Events {
		if e.Event == "start" && e.MonoNs > from+time.Second.Nanoseconds() && e.MonoNs < until {
			slow[e.Queue]++
		}
	}
	r.figure("round trips of 0.6s: starts in 7s of it, by queue: %v", slow)
	for _, queue := range r.queues {
		if slow[queue] == 0 {
			t.Errorf("nothing of queue %s started for 7s", queue)
		}
	}
}
