package runtime

import (
	"context"
	"reflect"
	"sort"
	"time"

	"github.com/throttlerd/throttlerd/runtime/pluginhost"
	"github.com/throttlerd/throttlerd/scheduler"
)

// memoryEvery is how often the memory of plugins is told anew: it changes all the time,
// and each announcement is a call.
const memoryEvery = 10 * time.Second

// standing is what a worker says of itself that changes while it serves.
type standing struct {
	down   []string // handlers
	hash   string   // of the configuration
	states []scheduler.HandlerState
}

// announcer tells what has changed since it last did, under one lease.
type announcer struct {
	told     standing
	memory   map[int]int64 // by process
	measured time.Time
}

func (a *announcer) announce(ctx context.Context, w *Worker, ses *scheduler.Session) error {
	now := standing{w.down(), w.configHash(), w.states()}
	a.measure(w, now.states)
	if reflect.DeepEqual(now, a.told) {
		return nil
	}
	err := ses.Announce(ctx, func(me *scheduler.Worker) {
		me.Down, me.ConfigHash, me.States = now.down, now.hash, now.states
	})
	if err == nil {
		a.told = now
	}
	return err
}

// measure fills in how much memory each process has, as of the last look.
func (a *announcer) measure(w *Worker, states []scheduler.HandlerState) {
	fresh := time.Since(a.measured) < memoryEvery
	for _, s := range states {
		for _, p := range s.Processes {
			_, known := a.memory[p.PID]
			fresh = fresh && (known || p.PID == 0)
		}
	}
	if !fresh {
		a.memory, a.measured = w.memories(), time.Now()
	}
	for _, s := range states {
		for i := range s.Processes {
			s.Processes[i].Memory = a.memory[s.Processes[i].PID]
		}
	}
}

// memories are the bytes of each process, by its id, in whole MiB.
func (w *Worker) memories() map[int]int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make(map[int]int64)
	for _, h := range w.handlers {
		for _, p := range h.places {
			if x, ok := p.process.(*pluginhost.Process); ok {
				out[x.PID()] = x.Memory() >> 20 << 20
			}
		}
	}
	return out
}

// SetConfigHash changes what the worker announces as the hash of its configuration,
// within a second.
func (w *Worker) SetConfigHash(hash string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hash = hash
}

func (w *Worker) configHash() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hash
}

// down are the handlers that take no tasks, sorted.
func (w *Worker) down() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, h := range w.handlers {
		if !h.isUp() {
			out = append(out, h.name)
		}
	}
	sort.Strings(out)
	return out
}
