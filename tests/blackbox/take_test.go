//go:build linux

package blackbox

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
)

// A program outside the queues that comes back at the instants it is told gets about its
// turn beside four queues that never run empty; with it, the limit holds.
func TestTakeBesideBackloggedQueues(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const rate, tasks = "50/1s:25", 600
	s.newLimit("api", rate)
	for i := range 4 {
		s.newQueue(fmt.Sprint("q", i), "api")
		s.submit(fmt.Sprint("q", i), tasks, "{}")
	}
	s.three(s.file(s.echo()))
	limiter, err := ratelimit.NewLimiter(s.rdb, ratelimit.Options{Namespace: namespace})
	s.must(err)
	s.journal.WaitStarts(20, 10*time.Second)
	var taken []ratelimit.Grant
	asked := 0
	from, err := s.client.Now(s.ctx())
	s.must(err)
	for until := time.Now().Add(12 * time.Second); time.Now().Before(until); asked++ {
		d, err := limiter.Take(s.ctx(), "api", 1)
		s.must(err)
		if d.Granted {
			taken = append(taken, ratelimit.Grant{At: d.At.UnixMicro(), Cost: 1})
			continue
		}
		<-time.After(d.Wait) // as it was told
	}
	to, err := s.client.Now(s.ctx())
	s.must(err)
	grants := slices.Clone(taken)
	all := len(taken)
	for _, e := range s.journal.Starts() {
		grants = append(grants, ratelimit.Grant{At: e.GrantUs, Cost: 1})
		if e.GrantUs >= from.UnixMicro() && e.GrantUs <= to.UnixMicro() {
			all++
		}
	}
	if err := ratelimit.Check(s.rates(rate)[0], grants); err != nil {
		t.Error(err)
	}
	turn := float64(all) / 5
	used := float64(all) / (to.Sub(from).Seconds() * 50)
	t.Logf("figure: %d takes of %d asked beside four queues, the turn is %.0f; %.2f %% of the limit used", len(taken), asked, turn, 100*used)
	if n := float64(len(taken)); n < 0.8*turn || n > 1.2*turn {
		t.Errorf("%.0f takes; the turn is %.0f", n, turn)
	}
	if used < 0.97 {
		t.Errorf("%.2f %% of the limit are used", 100*used)
	}
}
