package main

import (
	"strings"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/scheduler"
)

// troupe registers three workers: of handler smtp one that is well, one that fails and
// one where it is a Go value.
func (b *bench) troupe() (well, sick *scheduler.Session) {
	b.t.Helper()
	died := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	up := func(pid int) scheduler.ProcessState {
		return scheduler.ProcessState{Phase: "up", PID: pid, Since: time.Now().Add(-90 * time.Second), Restarts: 1, Memory: 20 << 20}
	}
	well = b.worker("web-1-aa", map[string]int{"smtp": 64, "http": 8})
	b.must(well.Announce(b.ctx(), func(w *scheduler.Worker) {
		w.States = []scheduler.HandlerState{
			{Handler: "http", Plugin: "webhook", Version: "0.2.0", Processes: []scheduler.ProcessState{up(10), {Phase: "starting", Since: died}}},
			{Handler: "smtp", Plugin: "mailer", Version: "1.4.0", Processes: []scheduler.ProcessState{up(11), up(12)}},
		}
	}))
	sick = b.worker("web-2-bb", map[string]int{"smtp": 64})
	b.must(sick.Announce(b.ctx(), func(w *scheduler.Worker) {
		w.Down = []string{"smtp"}
		w.States = []scheduler.HandlerState{{
			Handler: "smtp", Plugin: "mailer", Version: "1.4.0", Processes: []scheduler.ProcessState{{Phase: "failing", Since: died, Restarts: 9}},
			LastError: "exited with code 3", LastErrorAt: died, Stderr: []string{"no licence found", "\x1b[31mgood bye"},
		}}
	}))
	b.worker("own-3-cc", map[string]int{"smtp": 4})
	return well, sick
}

func TestHandlerListAndShow(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if r := b.run("handler", "list"); r.code != 0 || !strings.Contains(r.err, "No workers") {
		t.Errorf("%+v", r)
	}
	b.queue("emails", "smtp", "")
	well, _ := b.troupe()
	b.submit("emails", "{}")
	b.claim(well, "smtp", 1)
	golden(t, "handler_list.txt", b.ok("handler", "list"))
	golden(t, "handler_show.txt", b.ok("handler", "show", "smtp"))
	contains(t, b.run("worker", "list", "--check").err, `handler "smtp" is down on worker web-2-bb: exited with code 3`)
	var list []handlerView
	b.decode(&list, "handler", "list")
	states := map[string]string{}
	for _, v := range list {
		states[v.Handler+" "+v.Worker] = v.State
	}
	if len(list) != 4 || states["http web-1-aa"] != "degraded" || states["smtp web-1-aa"] != "up" ||
		states["smtp web-2-bb"] != "failing" || states["smtp own-3-cc"] != "up" {
		t.Errorf("%v", states)
	}
	var show struct {
		Handler string
		Workers []handlerView
	}
	b.decode(&show, "handler", "show", "smtp")
	if len(show.Workers) != 3 || show.Workers[0].Running != 1 || *show.Workers[0].Processes[1].PID != 12 || show.Workers[1].Processes[0].PID != nil ||
		show.Workers[1].Stderr[0] != "no licence found" || show.Workers[2].Plugin != nil {
		t.Errorf("%+v", show)
	}
	b.mistakes([]mistake{
		{"handler show", 2, "usage", "argument NAME is missing"},
		{"handler show smpt", 3, "not_found", `no worker with handler "smpt" in namespace "throttle"; did you mean "smtp"?`},
		{"handler restart smpt", 3, "not_found", `did you mean "smtp"?`},
		{"handler restart smtp", 2, "usage", `handler "smtp" of worker own-3-cc is no plugin`},
		{"handler restart smtp --worker web-9", 3, "not_found", `no worker "web-9"`},
		{"handler restart smtp --worker web", 2, "usage", "2 workers have ids that begin with"},
		{"handler restart http --timeout 300ms", 6, "timeout", `no answer yet from 1 worker, which may still restart handler "http"`},
	})
}

// answer does as a worker does that is asked to restart a handler.
func (b *bench) answer(s *scheduler.Session, handler, failure string, done chan<- struct{}) {
	defer close(done)
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		beat, err := s.Tick(b.ctx(), nil)
		if err != nil {
			b.t.Error(err)
			return
		}
		if request := beat.Restarts[handler]; request != "" {
			if err := s.Announce(b.ctx(), func(w *scheduler.Worker) {
				w.States[len(w.States)-1].Restart, w.States[len(w.States)-1].RestartError = request, failure
			}); err != nil {
				b.t.Error(err)
			}
			return
		}
		time.Sleep(5 * time.Millisecond) // between two ticks
	}
	b.t.Error("nobody asked")
}

func TestHandlerRestart(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	well, sick := b.troupe()
	done := make(chan struct{})
	go b.answer(well, "smtp", "", done)
	if out := b.ok("handler", "restart", "smtp", "--worker", "web-1"); out != "smtp: restarted on worker web-1-aa\n" {
		t.Error(out)
	}
	<-done
	done = make(chan struct{})
	go b.answer(sick, "smtp", "does not start: exited with code 3", done)
	r := b.run("--json", "handler", "restart", "smtp", "--worker", "web-2-bb")
	<-done
	var views []restartView
	decode(t, r.out, &views)
	if r.code != 1 || len(views) != 1 || views[0].Restarted || *views[0].Error != "does not start: exited with code 3" ||
		!strings.Contains(r.err, `handler \"smtp\" not restarted; what ran goes on: worker web-2-bb: does not start`) {
		t.Errorf("%+v", r)
	}
}
