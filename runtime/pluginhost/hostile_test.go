package pluginhost_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/runtime/pluginhost"
)

// The limit of the wire holds before the reply is in memory.
func TestHugeReplyIsTheEndOfThePlugin(t *testing.T) {
	h := start(t, part(t, "huge reply"))
	before := peakMemory(t)
	h.send("x")
	h.await(h.Done(), "the end of the process")
	if grown := peakMemory(t) - before; grown > 64<<20 {
		t.Errorf("the host grew by %d MiB", grown>>20)
	}
	if err := h.Err(); err == nil || !strings.Contains(err.Error(), "larger than max") {
		t.Errorf("%v", err)
	}
	if len(h.results) > 0 {
		t.Error("a result")
	}
}

// peakMemory is the most that this process has had in memory, in bytes.
func peakMemory(t *testing.T) int64 {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		t.Fatal(err)
	}
	return use.Maxrss << 10
}

func TestFloodOfStdoutHoldsNothingUp(t *testing.T) {
	h := start(t, part(t, "scripted"))
	if r := h.do("stdout flood"); r.Outcome != pluginapi.Done {
		t.Errorf("%+v", r)
	}
	if r := h.do("x"); r.Outcome != pluginapi.Done {
		t.Errorf("%+v", r)
	}
}

func TestPanicOutsideATaskIsTheEndOfThePlugin(t *testing.T) {
	h := start(t, part(t, "scripted"))
	h.send("goroutine panic")
	h.await(h.Done(), "the end of the process")
	if err := h.Err(); err == nil || !strings.Contains(err.Error(), "exited with code 2") || !strings.Contains(strings.Join(h.Stderr(), "\n"), "nobody recovers this") {
		t.Errorf("%v, %q", err, h.Stderr())
	}
}

func TestHandshakeThatNeverComes(t *testing.T) {
	t.Cleanup(pluginhost.SetHandshake(300 * time.Millisecond))
	err := startError(t, t.Context(), part(t, "silent"))
	if !strings.Contains(err.Error(), "no handshake within 300ms; is it a throttlerd plugin") {
		t.Error(err)
	}
}

func TestEndedStreamIsTheEndOfThePlugin(t *testing.T) {
	h := start(t, part(t, "ends stream"))
	h.send("x")
	h.await(h.Done(), "the end of the process")
	if err := h.Err(); err == nil || !strings.Contains(err.Error(), "ended the stream of tasks unasked") {
		t.Errorf("%v", err)
	}
}

func TestHangIsFound(t *testing.T) {
	t.Cleanup(pluginhost.SetHealth(50*time.Millisecond, 300*time.Millisecond))
	h := start(t, echoSpec(t))
	h.send(`{"sleep": "1h"}`)
	syscall.Kill(h.PID(), syscall.SIGSTOP)
	h.await(h.Done(), "the end of the process")
	if err := h.Err(); err == nil || !strings.Contains(err.Error(), "it has not answered for 300ms") {
		t.Errorf("%v", err)
	}
}
