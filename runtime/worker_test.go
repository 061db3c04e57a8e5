package runtime

import (
	"context"
	"errors"
	"fmt"
	goruntime "runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/scheduler"
	"github.com/throttlerd/throttlerd/tests/redistest"
)

// rig is a namespace on a redis-server of its own, with workers in this process.
type rig struct {
	t      testing.TB
	srv    *redistest.Server
	client *scheduler.Client
}

func newRig(t testing.TB) *rig {
	t.Helper()
	srv := redistest.Start(t)
	rdb := srv.Client()
	t.Cleanup(func() { rdb.Close() })
	c, err := scheduler.New(rdb, scheduler.Options{Namespace: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return &rig{t, srv, c}
}

func (r *rig) queue(name, rate string, change ...func(*scheduler.QueueSpec)) {
	r.t.Helper()
	spec := scheduler.DefaultQueue("go")
	if rate != "" {
		var err error
		if spec.Rates, err = ratelimit.ParseRates(rate); err != nil {
			r.t.Fatal(err)
		}
	}
	for _, f := range change {
		f(&spec)
	}
	if _, err := r.client.CreateQueue(context.Background(), name, spec); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) submit(queue string, ids ...string) {
	r.t.Helper()
	for _, id := range ids {
		if _, err := r.client.Submit(context.Background(), scheduler.SubmitRequest{Queue: queue, ID: id, Payload: []byte(id)}); err != nil {
			r.t.Fatal(err)
		}
	}
}

// start runs a worker until the returned function is called, which waits for it.
func (r *rig) start(h pluginapi.HandlerFunc, change ...func(*Options)) (stop func()) {
	r.t.Helper()
	ready := make(chan struct{})
	o := Options{
		Client: r.client, Handlers: map[string]Handler{"go": {Go: h, Concurrency: 16}}, DrainTimeout: 5 * time.Second,
		Ready: func(string) { close(ready) },
	}
	for _, f := range change {
		f(&o)
	}
	w, err := New(o)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	select {
	case <-ready:
	case err := <-done:
		r.t.Fatal(err)
	}
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				r.t.Error(err)
			}
		})
	}
	r.t.Cleanup(stop)
	return stop
}

func (r *rig) until(what string, ok func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("never: %s", what)
		}
	}
}

func (r *rig) state(id string) scheduler.Task {
	r.t.Helper()
	x, err := r.client.Task(context.Background(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	return x
}

func (r *rig) untilState(id, state string) scheduler.Task {
	r.t.Helper()
	r.until(fmt.Sprintf("task %s %s", id, state), func() bool { return r.state(id).State == state })
	return r.state(id)
}

func TestOutcomesOfGoHandlers(t *testing.T) {
	r := newRig(t)
	r.queue("q", "", func(s *scheduler.QueueSpec) {
		s.Retry = scheduler.Retry{MaxAttempts: 2, Min: time.Millisecond, Max: time.Millisecond}
		s.Timeout = 100 * time.Millisecond
	})
	r.start(func(ctx context.Context, x *pluginapi.Task) ([]byte, error) {
		switch x.ID {
		case "fail":
			return nil, fmt.Errorf("attempt %d of %d", x.Attempt, x.MaxAttempts)
		case "permanent":
			return nil, pluginapi.Permanent(errors.New("hopeless"))
		case "panic":
			panic("aargh")
		case "goexit":
			goruntime.Goexit()
		case "hang":
			<-ctx.Done()
			return nil, context.Cause(ctx)
		case "later":
			if x.Attempt == 1 {
				return nil, pluginapi.RetryAfter(5*time.Millisecond, errors.New("not yet"))
			}
		}
		return []byte("result of " + x.ID), nil
	})
	r.submit("q", "ok", "fail", "permanent", "panic", "goexit", "hang", "later")
	if x := r.untilState("ok", "done"); string(x.Result) != "result of ok" || x.Worker == "" {
		t.Errorf("%+v", x)
	}
	if x := r.untilState("fail", "dead"); x.LastError != "attempt 2 of 2" || x.Attempts != 2 {
		t.Errorf("%+v", x)
	}
	if x := r.untilState("permanent", "dead"); x.LastError != "hopeless" || x.Attempts != 1 {
		t.Errorf("%+v", x)
	}
	if x := r.untilState("goexit", "dead"); x.Attempts != 2 || !strings.Contains(x.LastError, "Goexit") {
		t.Errorf("goexit: %+v", x)
	}
	if x := r.untilState("panic", "dead"); x.Attempts != 2 {
		t.Errorf("%+v", x)
	}
	if x := r.untilState("hang", "dead"); x.LastError != pluginapi.ErrTimeout.Error() {
		t.Errorf("%+v", x)
	}
	if x := r.untilState("later", "done"); x.Attempts != 2 {
		t.Errorf("%+v", x)
	}
}

func TestStartsKeepTheLimit(t *testing.T) {
	r := newRig(t)
	r.queue("q", "200/1s:4")
	var mu sync.Mutex
	var grants []int64
	for range 3 {
		r.start(func(_ context.Context, x *pluginapi.Task) ([]byte, error) {
			mu.Lock()
			defer mu.Unlock()
			grants = append(grants, x.GrantedAt.UnixMicro())
			if early := time.Until(x.GrantedAt); early > 0 {
				t.Errorf("started %s before its grant", early)
			}
			return nil, nil
		})
	}
	tasks := make([]scheduler.SubmitRequest, 200)
	if _, err := r.client.SubmitMany(context.Background(), "q", tasks); err != nil {
		t.Fatal(err)
	}
	r.until("all done", func() bool {
		q, err := r.client.Queue(context.Background(), "q")
		return err == nil && q.Completed == 200
	})
	mu.Lock()
	defer mu.Unlock()
	if err := ratelimit.Check(ratelimit.Rate{N: 200, Period: time.Second, Burst: 4}, ratelimit.Grants(grants...)); err != nil {
		t.Error(err)
	}
}

func TestDrainLetsTasksFinish(t *testing.T) {
	r := newRig(t)
	r.queue("q", "")
	entered, release := make(chan struct{}), make(chan struct{})
	stop := r.start(func(context.Context, *pluginapi.Task) ([]byte, error) {
		close(entered)
		<-release
		return nil, nil
	})
	r.submit("q", "a")
	<-entered
	r.submit("q", "b")
	stopped := make(chan struct{})
	go func() {
		stop()
		close(stopped)
	}()
	close(release)
	<-stopped
	if x := r.state("a"); x.State != "done" {
		t.Errorf("a is %s", x.State)
	}
	ws, err := r.client.Workers(context.Background())
	if err != nil || len(ws) != 0 {
		t.Errorf("workers after a drain: %v %v", ws, err)
	}
}

func TestDrainTimeoutGivesBackUncharged(t *testing.T) {
	r := newRig(t)
	r.queue("q", "")
	entered := make(chan struct{})
	stop := r.start(func(ctx context.Context, _ *pluginapi.Task) ([]byte, error) {
		close(entered)
		<-ctx.Done()
		return nil, ctx.Err()
	}, func(o *Options) { o.DrainTimeout = 10 * time.Millisecond })
	r.submit("q", "a")
	<-entered
	stop()
	if x := r.state("a"); x.State != "waiting" || x.Attempts != 0 {
		t.Errorf("%+v", x)
	}
}

func TestCancelReachesTheHandler(t *testing.T) {
	r := newRig(t)
	r.queue("q", "")
	entered := make(chan struct{})
	cause := make(chan error, 1)
	r.start(func(ctx context.Context, _ *pluginapi.Task) ([]byte, error) {
		close(entered)
		<-ctx.Done()
		cause <- context.Cause(ctx)
		return nil, ctx.Err()
	})
	r.submit("q", "a")
	<-entered
	if state, err := r.client.Cancel(context.Background(), "a"); state != "running" || err != nil {
		t.Fatalf("%s %v", state, err)
	}
	if err := <-cause; err != pluginapi.ErrTaskCancelled {
		t.Errorf("cause %v", err)
	}
	r.untilState("a", "cancelled")
}

// While Redis stands still nothing is lost and nothing runs twice.
func TestOutageLongerThanALease(t *testing.T) {
	r := newRig(t)
	r.queue("q", "")
	var runs atomic.Int64
	release := make(chan struct{})
	h := func(context.Context, *pluginapi.Task) ([]byte, error) {
		runs.Add(1)
		<-release
		return nil, nil
	}
	short := func(o *Options) { o.Lease = 2 * time.Second }
	r.start(h, short)
	r.start(h, short)
	r.submit("q", "a", "b", "c", "d")
	r.until("all run", func() bool { return runs.Load() == 4 })
	r.srv.Stop()
	time.Sleep(3 * time.Second) // the outage
	close(release)
	r.srv.Continue()
	for _, id := range []string{"a", "b", "c", "d"} {
		r.untilState(id, "done")
	}
	if n := runs.Load(); n != 4 {
		t.Errorf("%d runs of 4 tasks", n)
	}
}

// A worker that was taken for dead stops its handlers, settles nothing and starts afresh.
func TestReapedWorkerStartsAfresh(t *testing.T) {
	r := newRig(t)
	r.queue("q", "")
	entered := make(chan struct{}, 4)
	cause := make(chan error, 4)
	var first atomic.Bool
	r.start(func(ctx context.Context, x *pluginapi.Task) ([]byte, error) {
		entered <- struct{}{}
		if first.Swap(true) {
			return []byte("second"), nil
		}
		<-ctx.Done()
		cause <- context.Cause(ctx)
		return []byte("first"), nil
	})
	r.submit("q", "a")
	<-entered
	rdb := r.srv.Client()
	defer rdb.Close()
	ws, err := r.client.Workers(context.Background())
	if err != nil || len(ws) != 1 {
		t.Fatal(ws, err)
	}
	other, err := r.client.Register(context.Background(), scheduler.Worker{ID: "other", Lease: time.Minute, Slots: map[string]int{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := rdb.ZAdd(context.Background(), "{test}:workers", zOf(ws[0].ID, 1)).Err(); err != nil { // its lease ended long ago
		t.Fatal(err)
	}
	if b, err := other.Tick(context.Background(), nil); err != nil || b.Reaped != 1 {
		t.Fatalf("%+v %v", b, err)
	}
	if err := <-cause; err != pluginapi.ErrLeaseLost {
		t.Errorf("cause %v", err)
	}
	if x := r.untilState("a", "done"); string(x.Result) != "second" {
		t.Errorf("settled by the run without a lease: %s", x.Result)
	}
}

func TestWorkerOfOneQueueLeavesTheOthers(t *testing.T) {
	r := newRig(t)
	r.queue("mine", "", func(s *scheduler.QueueSpec) { s.Pool = "far" })
	r.queue("other", "", func(s *scheduler.QueueSpec) { s.Pool = "far" })
	r.submit("other", "o1")
	var ran sync.Map
	count := func(who string) pluginapi.HandlerFunc {
		return func(_ context.Context, x *pluginapi.Task) ([]byte, error) {
			ran.Store(x.ID, who)
			return nil, nil
		}
	}
	stop := r.start(count("dedicated"), func(o *Options) { o.Queues = []string{"mine"} })
	for i := range 20 { // each wakes it: it is the only one
		id := fmt.Sprintf("m%d", i)
		r.submit("mine", id)
		r.untilState(id, "done")
	}
	if x := r.state("o1"); x.State != "waiting" {
		t.Errorf("a task of another queue is %s", x.State)
	}
	r.start(count("general"), func(o *Options) { o.Pools = []string{"*"} })
	r.untilState("o1", "done")
	stop()
	r.submit("mine", "last")
	r.untilState("last", "done")
	if who, _ := ran.Load("last"); who != "general" {
		t.Errorf("%v ran it", who)
	}
}
