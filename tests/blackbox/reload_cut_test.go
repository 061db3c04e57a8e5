//go:build linux

package blackbox

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/tests/proc"
)

// Reloads that come faster than they are read keep no worker from being stopped.
func TestReloadsDoNotHideAStop(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	parts := []string{s.echo()}
	for i := range 300 { // a file that takes a while to read
		parts = append(parts, queue(fmt.Sprintf("q%d", i)))
	}
	w := proc.Worker(t, s.file(parts...))
	for range 200 {
		w.Signal(syscall.SIGHUP)
		time.Sleep(200 * time.Microsecond) // else the kernel makes one of many
	}
	s.stop(w, 10*time.Second)
}

// A connection that breaks while a reload is applied leaves none of it.
func TestReloadCutIsAllOrNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const queues = 300
	write := func(rate string) (parts []string) {
		parts = append(parts, s.echo())
		for i := range queues {
			parts = append(parts, queue(fmt.Sprintf("q%03d", i), fmt.Sprintf("rate = %q", rate)))
		}
		return parts
	}
	rates := []string{"10/1s", "20/1s"}
	file := s.file(write(rates[0])...)
	w := proc.Worker(t, file)
	reload := func(cut bool, after time.Duration) (applied bool) {
		seen := len(w.Log())
		w.Signal(syscall.SIGHUP)
		if cut {
			time.Sleep(after) // the moment that is tried
			s.must(s.rdb.ClientKillByFilter(s.ctx(), "type", "normal", "skipme", "yes").Err())
		}
		proc.Eventually(t, 10*time.Second, "the reload has ended", func() bool {
			log := w.Log()[seen:]
			applied = strings.Contains(log, "reloaded: queues")
			return applied || strings.Contains(log, "reload refused")
		})
		return applied
	}
	outcomes := make(map[bool]int)
	for round := 1; round <= 16; round++ {
		s.rewrite(file, write(rates[round%2])...)
		applied := reload(true, time.Duration(10+4*round)*time.Millisecond)
		outcomes[applied]++
		list, err := s.client.Queues(s.ctx())
		s.must(err)
		n := 0
		for _, q := range list {
			if q.Rates.String() == rates[round%2] {
				n++
			}
		}
		if n != 0 && n != queues || applied && n == 0 {
			t.Errorf("round %d: %d of %d queues changed by a reload that was cut; it said it was applied: %v", round, n, queues, applied)
		}
		if !applied && !reload(false, 0) {
			t.Errorf("round %d: a reload after a cut one was refused", round)
		}
	}
	t.Logf("figure: reloads that were cut, by whether they were applied: %v", outcomes)
}
