//go:build linux

package blackbox

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/tests/proc"
)

// upstream is an HTTP server that keeps a journal of what reaches it.
type upstream struct {
	*httptest.Server
	answer func(n int, w http.ResponseWriter, r *http.Request) // to the nth delivery, from 1

	mu       sync.Mutex
	arrivals []arrival
}

type arrival struct {
	at time.Time
	id string // of the task
}

func newUpstream(t *testing.T, answer func(int, http.ResponseWriter, *http.Request)) *upstream {
	u := &upstream{answer: answer}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at := time.Now()
		io.Copy(io.Discard, r.Body)
		u.mu.Lock()
		u.arrivals = append(u.arrivals, arrival{at, r.Header.Get("Webhook-Id")})
		n := len(u.arrivals)
		u.mu.Unlock()
		u.answer(n, w, r)
	}))
	t.Cleanup(u.Close)
	return u
}

func (u *upstream) seen() []arrival {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.arrivals)
}

func (u *upstream) handler(attributes string) string {
	return fmt.Sprintf("handler \"webhook\" {\nconfig {\nurl = %q\nallow_cidrs = [\"127.0.0.0/8\"]\n%s\n}\n}\n", u.URL, attributes)
}

func hooks(name, attributes string) string {
	return fmt.Sprintf("queue %q {\nhandler = \"webhook\"\nhistory = 100000\n%s\n}\n", name, attributes)
}

// A 429 with Retry-After: 3 stops all starts of the queue on three workers for three
// seconds, costs no attempt, and then the queue goes on.
func TestRetryAfterStopsAQueueOnThreeWorkers(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const throttled = 100
	var refused time.Time
	u := newUpstream(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n == throttled {
			refused = time.Now()
			w.Header().Set("Retry-After", "3")
			w.WriteHeader(http.StatusTooManyRequests)
		}
	})
	file := s.file(u.handler(""), hooks("hooks", `rate = "100/1s:5"`))
	s.three(file)
	ids := s.submit("hooks", 300, `{"n":1}`)
	s.waitDone("hooks", 300, 30*time.Second)

	all := u.seen()
	if len(all) != 301 {
		t.Errorf("%d deliveries of 300 tasks, one of which was throttled", len(all))
	}
	var first time.Time // after the stop
	under := 0
	for _, a := range all {
		switch after := a.at.Sub(refused); {
		case after > 3*time.Second-50*time.Millisecond && first.IsZero():
			first = a.at
		case after > 150*time.Millisecond && first.IsZero(): // what was granted before it is on its way
			under++
		}
	}
	if under > 0 {
		t.Errorf("%d deliveries while the queue was stopped", under)
	}
	t.Logf("figure: 429 with Retry-After: 3: the next delivery came %v later", first.Sub(refused).Round(time.Millisecond))
	if late := first.Sub(refused) - 3*time.Second; late > time.Second {
		t.Errorf("it goes on %v after the end of the stop", late)
	}
	again := 0
	for _, id := range ids {
		x := s.task(id)
		if x.Attempts != 1 {
			t.Errorf("task %s has %d attempts", id, x.Attempts)
		}
		again += x.Throttles
	}
	if again != 1 {
		t.Errorf("%d tasks were throttled, not one", again)
	}
}

// What upstream says is left of its limit stops the queues of that limit before a 429.
func TestQuotaOfUpstreamIsKept(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var empty time.Time
	u := newUpstream(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n == 20 {
			empty = time.Now()
			w.Header().Set("RateLimit", `"default";r=0;t=2`)
		}
	})
	s.three(s.file(limit("api", `rate = "50/1s:2"`), u.handler(`limit = "api"`),
		hooks("a", `limits = ["api"]`), hooks("b", `limits = ["api"]`)))
	s.submit("a", 40, "{}")
	s.submit("b", 40, "{}")
	s.waitDone("a", 40, 30*time.Second)
	s.waitDone("b", 40, 30*time.Second)
	for _, x := range u.seen() {
		if after := x.at.Sub(empty); after > 150*time.Millisecond && after < 1900*time.Millisecond {
			t.Errorf("task %s was delivered %v after upstream had nothing left", x.id, after)
		}
	}
}

// Deliveries through a worker, with signatures, over kept connections.
func TestDeliveriesPerSecond(t *testing.T) {
	s := newSite(t)
	var mu sync.Mutex
	connections := map[string]bool{}
	u := newUpstream(t, func(_ int, _ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		connections[r.RemoteAddr] = true
		mu.Unlock()
	})
	secret := filepath.Join(t.TempDir(), "secret")
	s.must(os.WriteFile(secret, []byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"), 0o600))
	const tasks = 20_000
	file := s.file(u.handler(fmt.Sprintf("secret_file = %q", secret)), hooks("hooks", "paused = true"))
	proc.Worker(t, file)
	s.submit("hooks", tasks, `{"order":4711,"state":"shipped"}`)
	began := time.Now()
	s.must(s.client.Resume(s.ctx(), "hooks"))
	s.waitDone("hooks", tasks, time.Minute)
	t.Logf("figure: %.0f deliveries/s over %d connections, server in the same two cores", tasks/time.Since(began).Seconds(), len(connections))
	if n := len(u.seen()); n != tasks {
		t.Errorf("%d deliveries of %d tasks", n, tasks)
	}
	if len(connections) > 80 { // the next request may come before the last one's connection is given back
		t.Errorf("%d connections for 64 tasks at once", len(connections))
	}
}
