package scheduler

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// checkInvariants holds a namespace's keys against what must be true at any instant:
// every task is in exactly one place, the counters say what the places hold, a queue
// is in the due index exactly when it has something to do, and no key is unknown.
func checkInvariants(t *testing.T, c *Client) {
	t.Helper()
	ctx := context.Background()
	rdb, k := c.rdb, c.keys
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	workers, err := rdb.ZRange(ctx, k.workers(), 0, -1).Result()
	must(err)
	running := make(map[string]map[string]string) // queue to id to worker
	for _, w := range workers {
		run, err := rdb.HGetAll(ctx, k.run(w)).Result()
		must(err)
		for id, lease := range run {
			q := lease[strings.LastIndexByte(lease, ' ')+1:]
			if running[q] == nil {
				running[q] = make(map[string]string)
			}
			if running[q][id] != "" {
				t.Errorf("task %s is leased twice", id)
			}
			running[q][id] = w
		}
	}
	queues, err := rdb.ZRange(ctx, k.queues(), 0, -1).Result()
	must(err)
	due := make(map[string]float64)
	for _, q := range queues {
		h, err := rdb.HGetAll(ctx, k.prefix+"q:"+q).Result()
		must(err)
		place := make(map[string]string)
		put := func(id, where string) {
			if place[id] != "" {
				t.Errorf("queue %s: task %s is %s and %s", q, id, place[id], where)
			}
			place[id] = where
		}
		bodies, err := rdb.HKeys(ctx, k.prefix+"tasks:"+q).Result()
		must(err)
		known := make(map[string]bool)
		for _, id := range bodies {
			known[id] = true
		}
		ended, err := rdb.LRange(ctx, k.ended(q), 0, -1).Result()
		must(err)
		for _, id := range ended {
			put(id, "ended")
		}
		ends, err := rdb.HLen(ctx, k.prefix+"ends:"+q).Result()
		must(err)
		list, err := rdb.LRange(ctx, k.wait(q), 0, -1).Result()
		must(err)
		waiting, gone := 0, 0
		for _, id := range list {
			if !known[id] || place[id] == "ended" {
				gone++
				continue
			}
			put(id, "waiting")
			waiting++
		}
		zset := func(key, where string) int {
			ids, err := rdb.ZRange(ctx, key, 0, -1).Result()
			must(err)
			for _, id := range ids {
				put(id, where)
			}
			return len(ids)
		}
		front := zset(k.front(q), "front")
		later := zset(k.later(q), "scheduled")
		dead := zset(k.dead(q), "dead")
		for id := range running[q] {
			put(id, "running")
		}
		for id, where := range place {
			if !known[id] {
				t.Errorf("queue %s: %s task %s has no body", q, where, id)
			}
		}
		for id := range known {
			if place[id] == "" {
				t.Errorf("queue %s: task %s is nowhere", q, id)
			}
		}
		for _, f := range []struct {
			field string
			want  int
		}{
			{"waiting", waiting + front}, {"front", front}, {"later", later}, {"dead", dead},
			{"running", len(running[q])}, {"ended", len(ended)}, {"ended", int(ends)}, {"gone", gone},
		} {
			if got := number(h[f.field]); got != int64(f.want) {
				t.Errorf("queue %s: field %s is %d, its place holds %d", q, f.field, got, f.want)
			}
		}
		score, err := rdb.ZScore(ctx, k.prefix+"due:"+h["index"], q).Result()
		if err == redis.Nil {
			score = math.NaN()
		} else {
			must(err)
		}
		due[q] = score
		busy := waiting+front+later > 0 && h["held"] == ""
		if busy == math.IsNaN(score) {
			t.Errorf("queue %s: waiting %d, scheduled %d, held %q, but its due instant is %v", q, waiting+front, later, h["held"], score)
		}
	}
	all, err := rdb.Keys(ctx, "*").Result()
	must(err)
	for _, key := range all {
		rest, ok := strings.CutPrefix(key, k.prefix)
		if !ok && strings.HasPrefix(key, "{"+c.namespace) {
			t.Errorf("key %q is outside of the namespace", key)
		}
		if ok && rest != "clock" && !knownPart(rest) {
			t.Errorf("unknown key %q", key)
		}
	}
}

func knownPart(rest string) bool {
	for _, p := range keyParts {
		if rest == p.Part || strings.HasSuffix(p.Part, ":") && strings.HasPrefix(rest, p.Part) {
			return true
		}
	}
	return false
}
