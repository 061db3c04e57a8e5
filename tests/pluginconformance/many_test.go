//go:build linux

package pluginconformance

import (
	"fmt"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
)

// numbered are tasks whose payloads tell them apart.
func numbered(from, to int) []*pluginapi.Task {
	var tasks []*pluginapi.Task
	for i := from; i < to; i++ {
		tasks = append(tasks, &pluginapi.Task{Payload: fmt.Appendf(nil, "task %d", i)})
	}
	return tasks
}

// answers are the results so far, by run.
type answers map[int64]bool

// take checks that a result is the first of its run, and that run's own.
func (a answers) take(s *session, r pluginapi.Result) {
	s.Helper()
	if a[r.Run] || r.Outcome != pluginapi.Done || string(r.Result) != fmt.Sprintf("task %d", r.Run-firstRun) {
		s.Fatalf("a second or a wrong result: %+v", r)
	}
	a[r.Run] = true
}

func TestThousandTasksInOneBatch(t *testing.T) {
	each(t, func(t *testing.T, p plugin) {
		s := p.start(t, "")
		const tasks = 1000
		s.send(numbered(0, tasks)...)
		got := answers{}
		for range tasks {
			got.take(s, s.result())
		}
	})
}

func TestTenThousandTasks(t *testing.T) {
	each(t, func(t *testing.T, p plugin) {
		s := p.start(t, "")
		const tasks, atOnce = 10_000, 256
		sent := atOnce
		s.send(numbered(0, sent)...)
		for got := (answers{}); len(got) < tasks; {
			got.take(s, s.result())
			if sent < tasks {
				s.send(numbered(sent, sent+1)...)
				sent++
			}
		}
	})
}

func TestTasksRunSideBySide(t *testing.T) {
	each(t, func(t *testing.T, p plugin) {
		s := p.start(t, "")
		const tasks = 200
		begin := time.Now()
		for range tasks {
			s.sendPayload(`{"sleep": "200ms"}`)
		}
		for range tasks {
			if r := s.result(); r.Outcome != pluginapi.Done {
				t.Fatalf("%+v", r)
			}
		}
		if took := time.Since(begin); took > tasks*200*time.Millisecond/10 {
			t.Errorf("%d tasks of 200ms took %s", tasks, took)
		}
	})
}
