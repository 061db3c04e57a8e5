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

// All kinds of faults in a random order, one after another, as long as the budget lasts, and
// from time to time one worker's death alone, after which its tasks wait again in time:
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
	var workers, plugins []check.Fault
	var deck []string
	for began := time.Now(); time.Since(began) < span; {
		if len(deck) == 0 {
			if len(done) > 0 {
				workers = append(workers, r.aloneKilled())
			}
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
			workers = append(workers, r.killWorkers(i)...)
		case "plugin":
			f := r.killPlugin(i)
			if f.Process == 0 {
				continue
			}
			plugins = append(plugins, f)
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
	workers = append(workers, r.aloneKilled())
	h := r.verdict(time.Minute)
	r.again(h, workers, r.lease, 2*time.Second)
	r.again(h, plugins, 0, time.Second)
	r.figure("storm of %v: %d tasks acknowledged, %d starts", span, len(h.Acked), starts(h))
	for _, kind := range slices.Sorted(maps.Keys(bars)) {
		bar := int(time.Duration(bars[kind]) * span / (10 * time.Minute))
		r.figure("storm: %s %d of %d", kind, done[kind], bar)
		if long() && done[kind] < bar {
			t.Errorf("%d faults of kind %s in %v, not %d: the storm was too weak", done[kind], kind, span, bar)
		}
	}
}
