package pluginhost_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/runtime/pluginhost"
)

const patience = 30 * time.Second // no event of a test takes so long

// harness is one plugin process under test.
type harness struct {
	*pluginhost.Process
	t       *testing.T
	spec    pluginhost.Spec
	log     *syncBuffer
	results chan pluginapi.Result
	largest atomic.Int64 // number of results in one message
	fence   int64
}

// part returns a Spec for the test binary playing a part.
func part(t *testing.T, mode string) pluginhost.Spec {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return pluginhost.Spec{
		Handler: "h", Path: self, Args: []string{"-test.run=^$"},
		Env: map[string]string{modeEnv: mode}, MTLS: true, RunDir: runDir(t),
	}
}

func echoSpec(t *testing.T) pluginhost.Spec {
	return pluginhost.Spec{Handler: "echo", Path: echoPath, MTLS: true, RunDir: runDir(t)}
}

// runDir returns a short directory; at the end of the test it must be empty.
func runDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "ph")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		left, err := os.ReadDir(dir)
		if err != nil || len(left) > 0 {
			t.Errorf("left in the run directory: %v, %v", left, err)
		}
		os.RemoveAll(dir)
	})
	return dir
}

// noLeaks checks at the end of the test, after everything else, that no
// goroutine of it is left.
func noLeaks(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		goleak.VerifyNone(t, before,
			goleak.IgnoreAnyFunction("github.com/throttlerd/throttlerd/runtime/pluginhost.launchFromOneThread"))
	})
}

// start starts a process that is stopped at the end of the test.
func start(t *testing.T, spec pluginhost.Spec) *harness {
	t.Helper()
	noLeaks(t)
	h := &harness{t: t, spec: spec, log: &syncBuffer{}, results: make(chan pluginapi.Result, 20000)}
	spec.Log = hclog.New(&hclog.LoggerOptions{Output: h.log, Level: hclog.Info})
	p, err := pluginhost.Start(context.Background(), spec, pluginhost.Sink{Results: func(batch []pluginapi.Result) {
		h.largest.Store(max(h.largest.Load(), int64(len(batch))))
		for _, r := range batch {
			h.results <- r
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	h.Process = p
	t.Cleanup(func() {
		p.Kill()
		h.await(p.Done(), "the end of the process")
	})
	return h
}

// startError starts a process that must not come up.
func startError(t *testing.T, ctx context.Context, spec pluginhost.Spec) error {
	t.Helper()
	noLeaks(t)
	p, err := pluginhost.Start(ctx, spec, pluginhost.Sink{})
	if err == nil {
		p.Kill()
		<-p.Done()
		t.Fatal("the plugin started")
	}
	return err
}

// send sends one task and returns its fence.
func (h *harness) send(payload string) int64 {
	return h.sendTask(&pluginapi.Task{Payload: []byte(payload)})
}

func (h *harness) sendTask(task *pluginapi.Task) int64 {
	h.fence++
	task.ID, task.Queue, task.Attempt = fmt.Sprint("t", h.fence), "q", 1
	task.Fence = h.fence
	h.Send([]pluginhost.Sending{{Task: task}})
	return h.fence
}

// sendAhead sends a task that is to begin between two instants, and returns its result.
func (h *harness) sendAhead(payload string, notBefore, notAfter time.Time) {
	h.fence++
	h.Send([]pluginhost.Sending{{Task: &pluginapi.Task{Fence: h.fence, Payload: []byte(payload)}, NotBefore: notBefore, NotAfter: notAfter}})
}

// do runs one task to its end.
func (h *harness) do(payload string) pluginapi.Result {
	h.t.Helper()
	fence := h.send(payload)
	r := h.result()
	if r.Run != fence {
		h.t.Fatalf("result of run %d, want %d", r.Run, fence)
	}
	return r
}

func (h *harness) result() pluginapi.Result {
	h.t.Helper()
	select {
	case r := <-h.results:
		return r
	case <-h.Done():
		h.t.Fatalf("no result, the process ended: %v", h.Err())
	case <-time.After(patience):
		h.t.Fatal("no result")
	}
	panic("not reached")
}

func (h *harness) await(c <-chan struct{}, what string) {
	h.t.Helper()
	await(h.t, c, what)
}

func await(t *testing.T, c <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
	}
}

// eventually waits until ok holds.
func eventually(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(within); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", within, what)
		}
	}
}

// alive tells whether a process exists and is no zombie.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
