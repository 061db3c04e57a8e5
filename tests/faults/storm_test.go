//go:build linux

package faults

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/tests/faults/check"
	"github.com/throttlerd/throttlerd/tests/proc"
	"github.com/throttlerd/throttlerd/tests/redistest"
)

// bars are how many faults of each kind a storm of ten minutes is to hold; they are dealt
// in this proportion.
var bars = map[string]int{"worker": 300, "plugin": 100, "redis": 50, "pause": 20, "stall": 10, "cut": 40}

// All kinds of faults in a random order, one after another, as long as the budget lasts:
// nothing is lost, no limit is broken, and what runs twice was cut short.
func TestStorm(t *testing.T) {
	rnd := seeded(t)
	r := newRig(t, redistest.WithKeptAOF())
	r.lease = 2 * time.Second
	r.standard("")
	r.start(3)
	r.produce(25 * time.Millisecond)
	span := 15 * time.Second
	if long() {
		span = budget(t)
	}
	done := make(map[string]int)
	var cut []check.Fault
	var deck []string
	for began := time.Now(); time.Since(began) < span; {
		if len(deck) == 0 {
			for _, kind := range slices.Sorted(maps.Keys(bars)) {
				deck = append(deck, slices.Repeat([]string{kind}, bars[kind]/10)...)
			}
			rnd.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		}
		kind := deck[0]
		deck = deck[1:]
		r.more(5 + rnd.IntN(40))
		i := rnd.IntN(len(r.workers))
		switch kind {
		case "worker":
			cut = append(cut, r.killWorkers(i)...)
		case "plugin":
			if f := r.killPlugin(i); f.Process != 0 {
				cut = append(cut, f)
			}
		case "redis":
			r.killRedis()
		case "pause":
			r.pause(i, time.Duration(rnd.Int64N(int64(2*r.lease))))
		case "stall":
			from := proc.Mono()
			r.redis.Stop()
			time.Sleep(time.Duration(rnd.Int64N(int64(2 * r.lease)))) // the fault
			r.redis.Continue()
			r.fault(check.Stall, from, 0, 0)
		case "cut":
			from := proc.Mono()
			for _, of := range []string{"pubsub", "normal"} {
				r.must(r.rdb.Do(r.ctx(), "CLIENT", "KILL", "TYPE", of, "SKIPME", "yes").Err())
			}
			r.must(r.rdb.ScriptFlush(r.ctx()).Err())
			r.fault(check.Stall, from, 0, 0)
		}
		done[kind]++
		if done[kind]%10 == 0 {
			r.during()
		}
	}
	h := r.verdict(time.Minute)
	longest, tasks := time.Duration(0), 0
	for _, f := range cut {
		again, n := check.Again(h, f)
		longest, tasks = max(longest, again), tasks+n
	}
	r.figure("storm of %v: %d tasks acknowledged, %d starts, %d of them again after %d tasks were cut short (the last after %v)",
		span, len(h.Acked), starts(h), starts(h)-len(h.Acked), tasks, longest.Round(time.Millisecond))
	for _, kind := range slices.Sorted(maps.Keys(bars)) {
		r.figure("storm: %s %d of %d", kind, done[kind], bars[kind])
	}
}
