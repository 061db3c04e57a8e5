//go:build linux

package pluginconformance

import (
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
)

const soon = 2 * time.Second // on a busy machine

// A handler that sleeps is woken, and told why.
func TestCancel(t *testing.T) {
	each(t, func(t *testing.T, p plugin) {
		s := p.start(t, "")
		texts := map[string]error{}
		for _, cause := range []error{pluginapi.ErrTaskCancelled, pluginapi.ErrDraining, pluginapi.ErrLeaseLost, pluginapi.ErrTimeout} {
			run := s.sendPayload(`{"sleep": "1h"}`)
			s.beside(run)
			begin := time.Now()
			s.Cancel(run, cause)
			r := s.result()
			if took := time.Since(begin); r.Run != run || r.Outcome != pluginapi.Failed || r.Err == "" || took > soon {
				t.Errorf("%v: %+v after %s", cause, r, took)
			}
			if other, told := texts[r.Err]; told {
				t.Errorf("the handler cannot tell %v from %v: %q", cause, other, r.Err)
			}
			texts[r.Err] = cause
			s.Cancel(run, cause) // it has ended: ignored
		}
		s.Cancel(4711, pluginapi.ErrTaskCancelled) // unknown: ignored
		s.do("still there")
	})
}

// beside runs a task while another one, which has begun, goes on.
func (s *session) beside(other int64) {
	s.Helper()
	if r := s.do("beside"); r.Outcome != pluginapi.Done {
		s.Errorf("beside run %d: %+v", other, r)
	}
}

// A cancellation that comes with its task, or right after, is not lost.
func TestCancelAtOnce(t *testing.T) {
	each(t, func(t *testing.T, p plugin) {
		s := p.start(t, "")
		const runs = 100
		for range runs {
			s.Cancel(s.sendPayload(`{"sleep": "1h"}`), pluginapi.ErrTaskCancelled)
		}
		for range runs {
			if r := s.result(); r.Outcome != pluginapi.Failed {
				t.Errorf("%+v", r)
			}
		}
	})
}

func TestTimeout(t *testing.T) {
	each(t, func(t *testing.T, p plugin) {
		s := p.start(t, "")
		run := s.sendPayload(`{"sleep": "1h"}`)
		s.Cancel(run, pluginapi.ErrTimeout)
		want := s.result().Err // however the plugin words it
		begin := time.Now()
		r := s.doTask(&pluginapi.Task{Payload: []byte(`{"sleep": "1h"}`), Deadline: begin.Add(100 * time.Millisecond)})
		if took := time.Since(begin); r.Outcome != pluginapi.Failed || r.Err != want || took < 90*time.Millisecond || took > soon {
			t.Errorf("%+v after %s", r, took)
		}
		if r := s.doTask(&pluginapi.Task{Payload: []byte(`{"sleep": "1h"}`), Deadline: begin}); r.Err != want { // long over
			t.Errorf("%+v", r)
		}
		if r := s.doTask(&pluginapi.Task{Payload: []byte("in time"), Deadline: time.Now().Add(1000 * time.Hour)}); r.Outcome != pluginapi.Done {
			t.Errorf("%+v", r)
		}
	})
}
