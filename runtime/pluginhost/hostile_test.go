package pluginhost_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/runtime/pluginhost"
)

func TestHugeReplyIsTheEndOfThePlugin(t *testing.T) {
	h := start(t, part(t, "huge reply"))
	h.send("x")
	h.await(h.Done(), "the end of the process")
	if err := h.Err(); err == nil || !strings.Contains(err.Error(), "larger than max") {
		t.Errorf("%v", err)
	}
	if len(h.results) > 0 {
		t.Error("a result")
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
