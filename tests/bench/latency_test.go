//go:build bench

package bench

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/scheduler"
)

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
	p50, p99 := quantile(ms, 0.5), quantile(ms, 0.99)
	b, a := bull(t, "latency", n, 1), peer(t, "asynq-latency", n)
	bar("submit to handler start, 100/s, p50 and p99", fmt.Sprintf("%.2f, %.2f ms", p50, p99),
		fmt.Sprintf("BullMQ %.2f, %.2f; asynq %.0f, %.0f ms", b.P50, b.P99, a.P50, a.P99), times(p50, b.P50), "≤ 1, ≤ 3 ms", p50 <= 1 && p99 <= 3)
}

// tellTime makes this program one that says when each byte has come in.
const tellTime = "THROTTLE_BENCH_TELL_TIME"

func tellTimes() {
	for b := make([]byte, 1); ; {
		if _, err := os.Stdin.Read(b); err != nil {
			return
		}
		if err := binary.Write(os.Stdout, binary.LittleEndian, time.Now().UnixMicro()); err != nil {
			return
		}
	}
}

// TestIdleHop measures what one step from an idle process to another takes here: a byte
// through a pipe, each 10 ms.
func TestIdleHop(t *testing.T) {
	other := exec.Command(os.Args[0])
	other.Env = append(os.Environ(), tellTime+"=1")
	in, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	var ms []float64
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 300 {
		<-tick.C
		sent, came := time.Now().UnixMicro(), int64(0)
		if _, err := in.Write([]byte{0}); err != nil {
			t.Fatal(err)
		}
		if err := binary.Read(out, binary.LittleEndian, &came); err != nil {
			t.Fatal(err)
		}
		ms = append(ms, float64(came-sent)/1000)
	}
	in.Close()
	if err := other.Wait(); err != nil {
		t.Fatal(err)
	}
	note("one byte to an idle process, p50 and p99; a start takes two such steps and a timer", "%.2f, %.2f ms", quantile(ms, 0.5), quantile(ms, 0.99))
}

// kept is how a rate was kept.
type kept struct {
	share  float64   // of the rate
	late   []float64 // ms of each start
	starts []int64
}

// sustained runs one queue at a rate for a while with some workers, and checks its bound.
func sustained(t *testing.T, rate int, seconds, workers, concurrency int) (k kept) {
	t.Helper()
	r := newRig(t, fmt.Sprintf(`handler "echo" { concurrency = %d }`, concurrency), workers)
	n := rate * seconds
	r.queue("q", fmt.Sprintf("%d/1s", rate))
	journal := filepath.Join(r.dir, "journal")
	tasks := make([]scheduler.SubmitRequest, n)
	for i := range tasks {
		tasks[i].Payload = fmt.Appendf(nil, `{"journal":%q}`, journal)
	}
	ctx := context.Background()
	if err := r.client.Pause(ctx, "q"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.client.SubmitMany(ctx, "q", tasks); err != nil {
		t.Fatal(err)
	}
	if err := r.client.Resume(ctx, "q"); err != nil {
		t.Fatal(err)
	}
	r.until(time.Duration(seconds+20)*time.Second, func() bool { return r.done(1) == int64(n) })
	list := starts(t, r, journal, n)
	var grants []int64
	first, last := list[0].Grant, list[0].Grant
	for _, s := range list {
		k.late = append(k.late, float64(s.Start-s.Grant)/1000)
		k.starts = append(k.starts, s.Start)
		grants = append(grants, s.Grant)
		first, last = min(first, s.Grant), max(last, s.Grant)
		if s.Start < s.Grant {
			t.Errorf("task %s started %d µs before its grant", s.Task, s.Grant-s.Start)
		}
	}
	if err := ratelimit.Check(ratelimit.Rate{N: int64(rate), Period: time.Second, Burst: 1}, ratelimit.Grants(grants...)); err != nil {
		t.Error(err)
	}
	k.share = float64(n-1) / float64(rate) / (float64(last-first) / 1e6)
	return k
}

func TestLateness(t *testing.T) {
	for _, c := range []struct{ rate, seconds int }{{1, 60}, {10, 10}, {100, 10}, {1000, 10}} {
		late := sustained(t, c.rate, c.seconds, 1, 128).late
		thread := sleeper(time.Second/time.Duration(c.rate), max(20, 3*c.rate)) // afterwards: it would keep the cores awake
		p50, p99 := quantile(late, 0.5), quantile(late, 0.99)
		bar(fmt.Sprintf("lateness of a start at %d/s, p50 and p99", c.rate), fmt.Sprintf("%.2f, %.2f ms", p50, p99),
			fmt.Sprintf("a thread that does nothing but sleep %.2f, %.2f ms", quantile(thread, 0.5), quantile(thread, 0.99)), times(p50, quantile(thread, 0.5)), "≤ 0.4, ≤ 2 ms", p50 <= 0.4 && p99 <= 2)
	}
}

// sleeper is a thread of its own that sleeps n times; it returns how late it woke, in
// milliseconds.
func sleeper(every time.Duration, n int) (late []float64) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for range n {
		due := time.Now().Add(every)
		for err := unix.EINTR; err == unix.EINTR; { // the runtime interrupts threads
			left := unix.NsecToTimespec(max(0, time.Until(due).Nanoseconds()))
			err, _ = unix.Nanosleep(&left, nil).(unix.Errno)
		}
		late = append(late, float64(time.Since(due).Microseconds())/1000)
	}
	return late
}

func TestSustainedRate(t *testing.T) {
	for _, rate := range []int{10, 100, 1000, 10_000} {
		share := sustained(t, rate, 10, 3, 1024).share
		bar(fmt.Sprintf("sustained rate, %d/s, three workers", rate), fmt.Sprintf("%.2f %%", 100*share), "nominal", "", "≥ 99.9 %", share >= 0.999)
	}
}

func TestLimitOfAHundred(t *testing.T) {
	k := sustained(t, 100, 10, 3, 64)
	b := bull(t, "limiter", 1000, 1)
	a := peer(t, "asynq-recipe", 300, 10)
	note("1,000 tasks at 100/s: throttlerd", "%.1f/s, at most %d starts in 100 ms", 100*k.share, mostAtOnce(k.starts))
	note("1,000 tasks at 100/s: BullMQ's limiter", "%.1f/s, at most %d starts in 100 ms", b.PerSecond, mostAtOnce(b.Starts))
	note("300 tasks at 100/s: asynq's recipe", "%.1f/s, at most %d starts in 100 ms, %d attempts in vain", a.PerSecond, mostAtOnce(a.Starts), a.Errors)
}

// mostAtOnce is how many of the starts, in microseconds, lie within 100 ms at most.
func mostAtOnce(starts []int64) (most int) {
	slices.Sort(starts)
	first := 0
	for i, at := range starts {
		for at-starts[first] > 100_000 {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}
