package scheduler

import (
	"context"
	"strings"
	"testing"
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
			q := strings.Fields(lease)[4]
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
		lanes := checkLanes(t, c, q, h, put, func(id string) bool { return known[id] && place[id] != "ended" }, running[q])
		waiting, gone = waiting+lanes.waiting, gone+lanes.gone
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
			{"waiting", waiting + front + lanes.front}, {"front", front}, {"later", later}, {"dead", dead},
			{"running", len(running[q])}, {"ended", len(ended)}, {"ended", int(ends)}, {"gone", gone},
		} {
			if got := number(h[f.field]); got != int64(f.want) {
				t.Errorf("queue %s: field %s is %d, its place holds %d", q, f.field, got, f.want)
			}
		}
		checkPlace(t, c, q, h, waiting+front+lanes.front+later, lanes.gone)
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

// checkPlace wants a queue with something to do in exactly one place, and one without in
// none.
func checkPlace(t *testing.T, c *Client, q string, h map[string]string, tasks, gone int) {
	t.Helper()
	ctx := context.Background()
	var places []string
	if err := c.rdb.ZScore(ctx, c.keys.prefix+"due:"+h["index"], q).Err(); err == nil {
		places = append(places, "due")
	}
	for _, limit := range c.rdb.ZRange(ctx, c.keys.limits(), 0, -1).Val() {
		key := c.keys.prefix + "lw:" + limit + ":" + h["index"]
		if err := c.rdb.ZScore(ctx, key, q).Err(); err != nil {
			continue
		}
		places = append(places, limit)
		if h["place"] != limit {
			t.Errorf("queue %s waits at limit %s, its place is %q", q, limit, h["place"])
		}
		l, err := c.Limit(ctx, limit)
		if err != nil {
			t.Fatal(err)
		}
		full := l.Concurrency > 0 && l.Running >= int64(l.Concurrency)
		if err := c.rdb.ZScore(ctx, c.keys.prefix+"due:"+h["index"], "@"+limit).Err(); err != nil && !full {
			t.Errorf("queue %s waits at limit %s, which stands nowhere", q, limit)
		}
		if !c.rdb.SIsMember(ctx, c.keys.prefix+"lx:"+limit, h["index"]).Val() {
			t.Errorf("queue %s waits at limit %s in an index that the limit does not know", q, limit)
		}
	}
	if h["place"] == "" && len(places) > 0 && places[0] != "due" || len(places) > 1 {
		t.Errorf("queue %s is in %q", q, places)
	}
	capped := number(h["cap"]) > 0 && number(h["running"])-number(h["exempt"]) >= number(h["cap"])
	blocked := h["key"] != "" && c.rdb.ZCard(ctx, c.keys.keyReady(q)).Val()+c.rdb.ZCard(ctx, c.keys.keyLater(q)).Val() == 0
	// of a queue with keys a claim takes away what was cancelled in the lanes
	busy := tasks > 0 && h["held"] == "" && !capped && !blocked
	if busy && len(places) == 0 || tasks+gone == 0 && len(places) > 0 || h["held"] != "" && len(places) > 0 {
		t.Errorf("queue %s has %d tasks, held %q, capped %v, keys blocked %v, and is in %q", q, tasks, h["held"], capped, blocked, places)
	}
}

type lanes struct{ waiting, front, gone int }

// checkLanes wants each key with tasks in exactly one set, its counts right, and no state
// of a key that has neither tasks nor runs and whose buckets are full long since.
func checkLanes(t *testing.T, c *Client, q string, h map[string]string, put func(id, where string), waits func(id string) bool, running map[string]string) (n lanes) {
	t.Helper()
	if h["key"] == "" {
		return n
	}
	ctx := context.Background()
	sets := map[string]string{}
	for mark, set := range map[string]string{"r": c.keys.keyReady(q), "l": c.keys.keyLater(q), "f": c.keys.keyFull(q)} {
		for _, key := range c.rdb.ZRange(ctx, set, 0, -1).Val() {
			if sets[key] != "" {
				t.Errorf("queue %s: key %q is in sets %s and %s", q, key, sets[key], mark)
			}
			sets[key] = mark
		}
	}
	runs := make(map[string]int)
	for id, w := range running {
		lease := c.rdb.HGet(ctx, c.keys.run(w), id).Val()
		if _, key, ok := strings.Cut(lease, " key="); ok {
			end := strings.IndexAny(key, ":;")
			if key[end] == ':' { // it holds a place of the key's cap
				runs[key[end+1:]]++
			}
			if key[:end] != "0" && key[end] == ';' && capOf(h, key[end+1:]) != "0" {
				t.Errorf("queue %s: task %s of key %q, which has a cap, holds no place", q, id, key[end+1:])
			}
		}
	}
	states := c.rdb.HGetAll(ctx, c.keys.prefix+"keys:"+q).Val()
	for key, state := range states {
		f := strings.Split(state, " ")
		front := c.rdb.ZRange(ctx, c.keys.laneFront(q, key), 0, -1).Val()
		lane := c.rdb.LRange(ctx, c.keys.lane(q, key), 0, -1).Val()
		if number(f[4]) != int64(len(front)) || number(f[1]) != int64(runs[key]) {
			t.Errorf("queue %s: key %q has state %q, but %d given back and %d running", q, key, state, len(front), runs[key])
		}
		if (f[5] == "-") != (sets[key] == "") || f[5] != "-" && sets[key] != f[5] && h["stale"] == "" {
			t.Errorf("queue %s: key %q has state %q and is in set %q", q, key, state, sets[key])
		}
		for _, id := range front {
			put(id, "lane front")
		}
		n.front += len(front)
		for _, id := range lane {
			if !waits(id) {
				n.gone++
				continue
			}
			put(id, "lane")
			n.waiting++
		}
		if len(front)+len(lane) > 0 && f[5] == "-" {
			t.Errorf("queue %s: key %q has tasks and no place", q, key)
		}
		delete(sets, key)
		delete(runs, key)
	}
	for key, mark := range sets { // never served: it only stands in the ready set
		lane := c.rdb.LRange(ctx, c.keys.lane(q, key), 0, -1).Val()
		if mark != "r" || len(lane) == 0 {
			continue
		}
		for _, id := range lane {
			if !waits(id) {
				n.gone++
				continue
			}
			put(id, "lane")
			n.waiting++
		}
		delete(sets, key)
	}
	if len(sets) > 0 || len(runs) > 0 {
		t.Errorf("queue %s: keys %v, running %v have no state", q, sets, runs)
	}
	return n
}

// capOf is the cap of a key by the record of its queue.
func capOf(h map[string]string, key string) string {
	if cap, _, _ := strings.Cut(h["x_"+key], " "); cap != "" && cap != "-" {
		return cap
	}
	cap, _, _ := strings.Cut(h["key"], " ")
	return cap
}

func knownPart(rest string) bool {
	for _, p := range keyParts {
		if rest == p.Part || strings.HasSuffix(p.Part, ":") && strings.HasPrefix(rest, p.Part) {
			return true
		}
	}
	return false
}
