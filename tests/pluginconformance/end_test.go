//go:build linux

package pluginconformance

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/runtime/pluginhost"
)

// A plugin that is told to leave finishes what runs and still hears cancellations. That it
// leaves, and leaves nothing, is seen at the end of every test.
func TestDrain(t *testing.T) {
	each(t, func(t *testing.T, p plugin) {
		s := p.start(t, "")
		long := s.sendPayload(`{"sleep": "1h"}`)
		s.beside(long)
		short := s.sendPayload(`{"sleep": "300ms"}`)
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			s.drain()
		}()
		if r := s.result(); r.Run != short || r.Outcome != pluginapi.Done {
			t.Errorf("%+v", r)
		}
		s.Cancel(long, pluginapi.ErrDraining)
		if r := s.result(); r.Run != long || r.Outcome != pluginapi.Failed {
			t.Errorf("%+v", r)
		}
		<-stopped
	})
}

func TestDrainUnderLoad(t *testing.T) {
	each(t, func(t *testing.T, p plugin) {
		s := p.start(t, "")
		const tasks = 2000
		s.send(numbered(0, tasks)...)
		s.drain()
		if len(s.results) != tasks {
			t.Fatalf("%d results of %d tasks", len(s.results), tasks)
		}
		got := answers{}
		for range tasks {
			got.take(s, <-s.results)
		}
	})
}

func TestSignalsAreIgnored(t *testing.T) {
	each(t, func(t *testing.T, p plugin) {
		s := p.start(t, "")
		for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
			if err := syscall.Kill(s.PID(), sig); err != nil {
				t.Fatal(err)
			}
			s.do("still there")
		}
	})
}

func TestExit(t *testing.T) {
	each(t, func(t *testing.T, p plugin) {
		s := p.start(t, "")
		s.do("what came before it counts")
		s.ended = true
		s.sendPayload(`{"exit": 3}`)
		select {
		case <-s.Done():
		case <-time.After(patience):
			t.Fatal("it does not exit")
		}
		if exit, ok := errors.AsType[*pluginhost.ExitError](s.Err()); !ok || exit.Code != 3 {
			t.Errorf("%v", s.Err())
		}
	})
}
