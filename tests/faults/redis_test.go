//go:build linux

package faults

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/throttlerd/throttlerd/scheduler"
	"github.com/throttlerd/throttlerd/tests/faults/check"
	"github.com/throttlerd/throttlerd/tests/proc"
	"github.com/throttlerd/throttlerd/tests/redistest"
)

// Row 18: Redis dies under load and comes back with its append-only file, synced each
// second: no acknowledged task is lost, and starts go on within 2 s.
func TestRedisKilled(t *testing.T) {
	t.Parallel()
	rnd := seeded(t)
	r := newRig(t, redistest.WithKeptAOF())
	r.standard("")
	r.start(3)
	r.produce(12 * time.Millisecond)
	kills := 3
	if long() {
		kills = 50
	}
	resumed := time.Duration(0)
	for range kills {
		r.more(150 + rnd.IntN(300))
		r.killRedis()
		back := proc.Mono()
		r.more(1)
		resumed = max(resumed, time.Duration(proc.Mono()-back))
	}
	r.more(100)
	h := r.verdict(40 * time.Second)
	r.figure("Redis killed %d times: %d tasks acknowledged, %d submits without an answer; starts went on at most %v after it was ready",
		kills, len(h.Acked), h.Unknown, resumed.Round(time.Millisecond))
	if resumed > 2*time.Second {
		t.Errorf("starts went on %v after Redis was ready; 2s are promised", resumed)
	}
}

// Row 20: Redis takes seconds to load its data. Workers that run wait, and so does one
// that is started meanwhile.
func TestRedisLoads(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.WithKeptAOF(), redistest.WithArgs("--key-load-delay", "100"))
	r.standard("")
	r.start(2)
	_, err := r.rdb.Pipelined(r.ctx(), func(p redis.Pipeliner) error { // what takes long to load, in another database
		p.Do(r.ctx(), "SELECT", 1)
		for i := range 20_000 {
			p.Set(r.ctx(), strconv.Itoa(i), i, 0)
		}
		p.Do(r.ctx(), "SELECT", 0)
		return nil
	})
	r.must(err)
	r.put("open", 500, payload(1))
	r.more(100)
	from := proc.Mono()
	r.redis.Kill()
	r.redis.Launch()
	late := proc.Start(t, "run", "-c", r.file)
	loading := 0
	for err := r.rdb.Ping(r.ctx()).Err(); err != nil; err = r.rdb.Ping(r.ctx()).Err() {
		if scheduler.IsLoading(err) {
			loading++
		}
		if time.Duration(proc.Mono()-from) > time.Minute {
			t.Fatal("Redis does not get ready")
		}
		time.Sleep(5 * time.Millisecond) // between two looks
	}
	r.figure("Redis loaded for %v", time.Duration(proc.Mono()-from).Round(time.Millisecond))
	if loading < 3 {
		t.Errorf("only %d answers were LOADING", loading)
	}
	r.fault(check.Stall, from, 0, 0)
	late.WaitServing()
	r.workers = append(r.workers, late)
	r.verdict(30 * time.Second)
}

// Row 22: Redis stands still for longer than a lease, asleep in a command and stopped as
// a process. No task runs twice.
func TestRedisStandsStill(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.WithArgs("--enable-debug-command", "local"))
	r.lease = 3 * time.Second
	r.standard("")
	r.start(3)
	r.produce(12 * time.Millisecond)
	r.more(300)
	r.put("open", 20, `{"sleep": "7s"}`) // run through it
	r.more(50)
	from := proc.Mono()
	asleep := r.redis.Client()
	defer asleep.Close()
	asleep.Options().ReadTimeout = -1
	_ = asleep.Do(r.ctx(), "DEBUG", "SLEEP", "6").Err() // the client may give up before
	r.fault(check.Stall, from, 0, 0)
	r.more(100)
	from = proc.Mono()
	r.redis.Stop()
	time.Sleep(r.lease + 3*time.Second) // the fault
	r.redis.Continue()
	r.fault(check.Stall, from, 0, 0)
	back := proc.Mono()
	r.more(1)
	resumed := time.Duration(proc.Mono() - back)
	r.more(100)
	r.verdict(30 * time.Second)
	r.figure("Redis away for 6s, twice, with a lease of %v; starts went on %v after", r.lease, resumed.Round(time.Millisecond))
	if resumed > 2*time.Second {
		t.Errorf("starts went on %v after Redis was back; 2s are promised", resumed)
	}
}

// Row 26: Redis becomes a replica and refuses to write. Nothing starts, and all goes on
// when it is a master again.
func TestRedisReadOnly(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.standard("")
	r.start(3)
	r.produce(12 * time.Millisecond)
	r.more(200)
	from := proc.Mono()
	r.must(r.rdb.Do(r.ctx(), "REPLICAOF", "127.0.0.1", "1").Err())
	time.Sleep(2 * time.Second) // the fault
	until := proc.Mono()
	r.must(r.rdb.Do(r.ctx(), "REPLICAOF", "NO", "ONE").Err())
	r.fault(check.Stall, from, 0, 0)
	r.more(200)
	h := r.verdict(20 * time.Second)
	for _, e := range h.Events {
		if e.Event == "start" && e.MonoNs > from+int64(500*time.Millisecond) && e.MonoNs < until {
			t.Errorf("task %s started while Redis refused to write", e.Task)
		}
	}
}

// Row 29: Redis has no memory left. A submit is refused and says so; what waits still
// runs, and makes room.
func TestRedisFull(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.standard("")
	r.start(3)
	r.put("open", 300, payload(1))
	r.put("rated", 100, payload(1))
	r.more(50)
	r.must(r.rdb.ConfigSet(r.ctx(), "maxmemory", "1mb").Err()) // below what is used
	from := proc.Mono()
	if _, err := r.client.Submit(r.ctx(), scheduler.SubmitRequest{Queue: "open"}); err == nil || !strings.Contains(err.Error(), "OOM") {
		t.Errorf("a submit to a full Redis: %v", err)
	}
	r.rest(20 * time.Second)
	if _, err := r.submit("open", payload(1)); err == nil {
		t.Error("Redis was not full any more: the test has shown nothing")
	}
	r.h.Unknown = 0 // they were refused
	r.must(r.rdb.ConfigSet(r.ctx(), "maxmemory", "0").Err())
	r.fault(check.Stall, from, 0, 0)
	r.put("open", 50, payload(1))
	r.verdict(20 * time.Second)
}

// Row 33: somebody else's script keeps Redis busy for 3 s. Workers wait without a herd of
// new connections.
func TestRedisBusy(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.WithArgs("--lua-time-limit", "100"))
	r.standard("")
	r.start(3)
	r.produce(12 * time.Millisecond)
	r.more(200)
	before := r.connections()
	from := proc.Mono()
	foreign := r.redis.Client()
	defer foreign.Close()
	foreign.Options().ReadTimeout = 20 * time.Second
	r.must(foreign.Eval(r.ctx(), `local t = redis.call('TIME') local till = t[1] + 3
repeat t = redis.call('TIME') until tonumber(t[1]) >= till return 1`, nil).Err())
	took := time.Duration(proc.Mono() - from)
	after := r.connections()
	r.fault(check.Stall, from, 0, 0)
	r.more(100)
	r.verdict(20 * time.Second)
	r.figure("Redis busy for %v: %d connections were %d", took.Round(time.Millisecond), after, before)
	if took < time.Second {
		t.Errorf("Redis was busy for %v only", took)
	}
	if after > before+20 {
		t.Errorf("%d connections, %d before Redis was busy", after, before)
	}
}

// connections is how many Redis has been opened so far.
func (r *rig) connections() int64 {
	r.Helper()
	info, err := r.rdb.Info(r.ctx(), "stats").Result()
	r.must(err)
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(line, "total_connections_received:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			r.must(err)
			return n
		}
	}
	r.Fatal("INFO tells no connections")
	return 0
}

// Rows 19 and 30: a Redis that would lose acknowledged tasks is named at the start, and
// refused where durability is strict.
func TestRedisThatMayLoseTasks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, complaint string
		opts            []redistest.Option
	}{
		{"snapshots only", "append-only", []redistest.Option{redistest.WithArgs("--save", "60 1")}},
		{"may evict", "maxmemory-policy allkeys-lru", []redistest.Option{redistest.WithAOF(), redistest.WithArgs("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")}},
		{"append-only file", "", []redistest.Option{redistest.WithAOF()}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, c.opts...)
			r.standard("")
			w := proc.Worker(t, r.file)
			if warned := strings.Contains(w.Log(), c.complaint) && strings.Contains(w.Log(), "WARN"); warned != (c.complaint != "") {
				t.Errorf("warned: %v\n%s", warned, w.Log())
			}
			r.configure(`durability = "strict"`)
			if c.complaint == "" {
				proc.Worker(t, r.file)
				return
			}
			if p := proc.Run(t, "run", "-c", r.file); p.Code != 1 || !strings.Contains(p.Stderr, c.complaint) {
				t.Errorf("strict exits with %d:\n%s", p.Code, p.Stderr)
			}
		})
	}
}
