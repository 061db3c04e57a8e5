//go:build bench

package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/scheduler"
)

func TestDrain(t *testing.T) {
	const n = 100_000
	r := newRig(t, `handler "echo" {}`, 1)
	r.queue("q", "")
	ctx := context.Background()
	if err := r.client.Pause(ctx, "q"); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	r.submit("q", n)
	row("submit in batches, one goroutine", "%.0f tasks/s", n/time.Since(start).Seconds())
	mem := func() int64 {
		v, _ := r.rdb.Do(ctx, "MEMORY", "USAGE", "{bench}:tasks:q", "SAMPLES", 0).Int64()
		w, _ := r.rdb.Do(ctx, "MEMORY", "USAGE", "{bench}:wait:q", "SAMPLES", 0).Int64()
		return v + w
	}()
	row("Redis memory a waiting task, 100-byte payload", "%d bytes", mem/n)
	claims, trips := r.claims(), r.roundTrips()
	worker, plugin, server, wall := r.used(func() {
		if err := r.client.Resume(ctx, "q"); err != nil {
			t.Fatal(err)
		}
		r.until(60*time.Second, func() bool { return r.completed("q") == n })
	})
	us := func(d time.Duration) float64 { return float64(d.Microseconds()) / n }
	row("drain 100,000 no-op tasks, defaults", "%.0f tasks/s", n/wall.Seconds())
	row("  CPU a task: worker, plugin, Redis", "%.1f, %.1f, %.1f µs", us(worker), us(plugin), us(server))
	row("  claims, script calls a task", "%.3f, %.3f", float64(r.claims()-claims)/n, float64(r.roundTrips()-trips)/n)
}

func TestSubmitOneByOne(t *testing.T) {
	r := newRig(t, `handler "echo" {}`, 1)
	r.queue("q", "1/1h")
	const n = 10_000
	start := time.Now()
	for range n {
		if _, err := r.client.Submit(context.Background(), scheduler.SubmitRequest{Queue: "q", Payload: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
	}
	row("submit one task a call, one goroutine", "%.0f tasks/s", n/time.Since(start).Seconds())
}

func TestLatency(t *testing.T) {
	r := newRig(t, `handler "echo" {}`, 1)
	r.queue("q", "")
	journal := filepath.Join(r.dir, "journal")
	payload, err := json.Marshal(map[string]string{"journal": journal})
	if err != nil {
		t.Fatal(err)
	}
	const n = 500
	sent := make(map[string]int64)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for i := range n {
		<-tick.C
		id := fmt.Sprintf("t%d", i)
		sent[id] = time.Now().UnixMicro()
		if _, err := r.client.Submit(context.Background(), scheduler.SubmitRequest{Queue: "q", ID: id, Payload: payload}); err != nil {
			t.Fatal(err)
		}
	}
	var ms []float64
	for _, s := range starts(t, r, journal, n) {
		ms = append(ms, float64(s.Start-sent[s.Task])/1000)
	}
	row("submit to handler start, 100/s, p50, p99", "%.2f, %.2f ms", quantile(ms, 0.5), quantile(ms, 0.99))
}

func TestLateness(t *testing.T) {
	const n = 20_000
	r := newRig(t, `handler "echo" { concurrency = 128 }`, 1)
	r.queue("q", "1000/1s")
	journal := filepath.Join(r.dir, "journal")
	tasks := make([]scheduler.SubmitRequest, n)
	for i := range tasks {
		tasks[i].Payload = fmt.Appendf(nil, `{"journal":%q}`, journal)
	}
	claims := r.claims()
	worker, plugin, _, wall := r.used(func() {
		if _, err := r.client.SubmitMany(context.Background(), "q", tasks); err != nil {
			t.Fatal(err)
		}
		r.until(40*time.Second, func() bool { return r.completed("q") == n })
	})
	list := starts(t, r, journal, n)
	var late []float64
	var grants []int64
	first, last := list[0].Start, list[0].Start
	for _, s := range list {
		late = append(late, float64(s.Start-s.Grant)/1000)
		grants = append(grants, s.Grant)
		first, last = min(first, s.Start), max(last, s.Start)
		if s.Start < s.Grant {
			t.Errorf("task %s started %d µs before its grant", s.Task, s.Grant-s.Start)
		}
	}
	rate := ratelimit.Rate{N: 1000, Period: time.Second, Burst: 1}
	if err := ratelimit.Check(rate, ratelimit.Grants(grants...)); err != nil {
		t.Error(err)
	}
	row("1000/1s, 20,000 tasks: share of the nominal rate", "%.2f %%", 100*float64(n-1)/1000/(float64(last-first)/1e6))
	row("  lateness of a start, p50, p99", "%.2f, %.2f ms", quantile(late, 0.5), quantile(late, 0.99))
	row("  claims a second", "%.0f", float64(r.claims()-claims)/wall.Seconds())
	row("  CPU: worker and plugin", "%.2f cores", (worker+plugin).Seconds()/wall.Seconds())
}

func TestIdle(t *testing.T) {
	r := newRig(t, `handler "echo" {}`, 1)
	idle(t, r, "idle worker")
}

func TestManySlowQueues(t *testing.T) {
	r := newRig(t, `handler "echo" { concurrency = 256 }`, 1)
	const queues = 10_000
	for i := range queues {
		name := fmt.Sprintf("q%d", i)
		r.queue(name, "1/1h")
		r.submit(name, 2)
	}
	r.until(60*time.Second, func() bool {
		n, err := r.rdb.ZCount(context.Background(), "{bench}:due:default:echo", "-inf", fmt.Sprint(time.Now().UnixMicro())).Result()
		return err == nil && n == 0
	})
	idle(t, r, "10,000 queues at 1/1h, a task waiting in each")
}

func idle(t *testing.T, r *rig, what string) {
	t.Helper()
	const watch = 10 * time.Second
	trips := r.roundTrips()
	worker, plugin, _, wall := r.used(func() { time.Sleep(watch) })
	row(what+":", "%.1f round trips/s, worker and plugin %.2f %% CPU",
		float64(r.roundTrips()-trips)/wall.Seconds(), 100*(worker+plugin).Seconds()/wall.Seconds())
}

func TestTurns(t *testing.T) {
	r := newRig(t, `handler "echo" {}`, 1)
	r.queue("long", "")
	r.queue("short", "")
	journal := filepath.Join(r.dir, "journal")
	if err := r.client.Pause(context.Background(), "long"); err != nil {
		t.Fatal(err)
	}
	r.submit("long", 100_000)
	if err := r.client.Resume(context.Background(), "long"); err != nil {
		t.Fatal(err)
	}
	r.until(10*time.Second, func() bool { return r.completed("long") > 1000 })
	sent := time.Now().UnixMicro()
	if _, err := r.client.Submit(context.Background(), scheduler.SubmitRequest{Queue: "short", Payload: fmt.Appendf(nil, `{"journal":%q}`, journal)}); err != nil {
		t.Fatal(err)
	}
	s := starts(t, r, journal, 1)
	row("a task beside another queue's 100,000 starts in", "%.1f ms", float64(s[0].Start-sent)/1000)
}

// start is one line of a journal.
type start struct {
	Event string `json:"ev"`
	Task  string `json:"task"`
	Grant int64  `json:"grant_us"`
	Start int64  `json:"start_us"`
}

// starts waits until a journal holds n starts.
func starts(t *testing.T, r *rig, journal string, n int) []start {
	t.Helper()
	var out []start
	r.until(30*time.Second, func() bool {
		out = out[:0]
		f, err := os.Open(journal)
		if err != nil {
			return false
		}
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			var s start
			if json.Unmarshal(lines.Bytes(), &s) == nil && s.Event == "start" {
				out = append(out, s)
			}
		}
		return len(out) >= n
	})
	if len(out) != n {
		t.Fatalf("%d starts of %d tasks", len(out), n)
	}
	return out
}
