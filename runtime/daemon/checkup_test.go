package daemon

import (
	"slices"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/scheduler"
)

// What keeps a worker from serving; one that serves is enough.
func TestCheckup(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	good := scheduler.Worker{ID: "web-1-7", PID: 7, Slots: map[string]int{"echo": 1}, Lease: 10 * time.Second, Beat: now.Add(-400 * time.Millisecond), LeaseEnds: now.Add(9 * time.Second)}
	change := func(f func(w *scheduler.Worker)) scheduler.Worker {
		w := good
		f(&w)
		return w
	}
	failing := []scheduler.HandlerState{{Handler: "echo", Processes: []scheduler.ProcessState{{Phase: "failing"}}, LastError: "exited with code 3"}}
	for _, c := range []struct {
		w    scheduler.Worker
		want []string
	}{
		{good, nil},
		{change(func(w *scheduler.Worker) { w.LeaseEnds, w.Beat = now, now.Add(-12*time.Second) }), []string{"its lease has ended; last beat 12s ago"}},
		{change(func(w *scheduler.Worker) { w.Beat = now.Add(-12 * time.Second) }), []string{"its last beat was 12s ago, longer than its lease of 10s"}},
		{change(func(w *scheduler.Worker) { w.Draining, w.Down = true, []string{"echo"} }), []string{"it is draining: it takes no more tasks", `its handler "echo" has no plugin process`}},
		{change(func(w *scheduler.Worker) { w.Down, w.States = []string{"echo"}, failing }), []string{`its handler "echo" has no plugin process: failing: exited with code 3`}},
	} {
		if got := problems(c.w, now); !slices.Equal(got, c.want) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
	up := Checkup{Host: "web-1", Namespace: "acme", At: now}
	lost := Patient{good, []string{"it is draining"}}
	for _, c := range []struct {
		workers []Patient
		pid     int
		want    string // "" for healthy
	}{
		{nil, 0, `no worker of host "web-1" in namespace "acme"; start one with throttlerd run, with the same Redis and namespace as here`},
		{nil, 9, `no worker of host "web-1" with process id 9 in namespace "acme"; start one with throttlerd run, with the same Redis and namespace as here`},
		{[]Patient{lost, lost}, 0, "worker web-1-7: it is draining; worker web-1-7: it is draining"},
		{[]Patient{lost, {good, nil}}, 0, ""},
	} {
		up.Workers, up.PID = c.workers, c.pid
		switch err := up.Err(); {
		case c.want == "" && err != nil, c.want != "" && (err == nil || err.Error() != c.want):
			t.Errorf("%v, want %q", err, c.want)
		case c.want == "" && up.String() != "worker web-1-7 serves echo: 0 running, last beat 400ms ago":
			t.Error(up)
		}
	}
}
