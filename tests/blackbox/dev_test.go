//go:build linux

package blackbox

import (
	"context"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/scheduler"
	"github.com/throttlerd/throttlerd/tests/proc"
)

// Ctrl-C goes to dev and to its plugin, as in a terminal: what runs ends well, and so does
// dev, with its Redis.
func TestDevInterrupted(t *testing.T) {
	t.Parallel()
	p := proc.Start(t, "dev", "--log-level", "info")
	p.WaitServing()
	url := regexp.MustCompile(`redis://[0-9.:]+/0`).FindString(p.Log())
	for range 3 {
		if r := proc.Ctl(t, "submit", "demo", `{"sleep": "2s"}`, "--redis-url", url); r.Code != 0 {
			t.Fatalf("exit %d: %s", r.Code, r.Stderr)
		}
	}
	rdb, err := scheduler.Dial(scheduler.RedisOptions{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer rdb.Close()
	client, err := scheduler.New(rdb, scheduler.Options{})
	if err != nil {
		t.Fatal(err)
	}
	proc.Eventually(t, 10*time.Second, "three tasks run", func() bool {
		q, err := client.Queue(context.Background(), "demo")
		return err == nil && q.Running == 3
	})
	if err := syscall.Kill(-p.PID, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := p.Wait(10 * time.Second); code != 0 || !strings.Contains(p.Log(), "draining: running=3") || strings.Contains(p.Log(), "[ERROR]") || strings.Contains(p.Log(), "[WARN]") {
		t.Errorf("exit %d:\n%s", code, p.Log())
	}
}
