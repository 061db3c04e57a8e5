package main

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/throttlerd/throttlerd/scheduler"
)

// liveWorkers are those whose lease is in force by the engine's clock. One whose lease
// has ended starts nothing, though it is known until its tasks have been taken back.
func (s *session) liveWorkers() ([]scheduler.Worker, error) {
	workers, err := s.Workers(s.ctx)
	if err != nil {
		return nil, err
	}
	now, err := s.Now(s.ctx)
	if err != nil {
		return nil, err
	}
	return live(workers, now), nil
}

func live(workers []scheduler.Worker, now time.Time) []scheduler.Worker {
	var out []scheduler.Worker
	for _, w := range workers {
		if w.LeaseEnds.After(now) {
			out = append(out, w)
		}
	}
	return out
}

// handlers are the names of what the workers of a pool serve, sorted.
func handlers(workers []scheduler.Worker, pool string) []string {
	names := map[string]bool{}
	for _, w := range workers {
		if slices.Contains(w.Pools, pool) {
			for h := range w.Slots {
				names[h] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// nobody is why a queue without a worker does not move.
func nobody(pool, handler string) string {
	s := fmt.Sprintf("no live worker serves handler %q", handler)
	if pool != scheduler.DefaultPool {
		s += fmt.Sprintf(" in pool %q", pool)
	}
	return s
}

// slots are those that workers have for one handler, together.
func slots(workers []scheduler.Worker, handler string) (n int64) {
	for _, w := range workers {
		n += int64(w.Slots[handler])
	}
	return n
}
