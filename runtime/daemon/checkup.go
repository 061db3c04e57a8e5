package daemon

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/throttlerd/throttlerd/runtime/config"
	"github.com/throttlerd/throttlerd/scheduler"
)

// Checkup is how the workers of one host do, as they told Redis.
type Checkup struct {
	Host, Namespace string
	PID             int // the one process that is asked for; 0: any
	Workers         []Patient
	At              time.Time // engine time
}

// Patient is a worker with what keeps it from serving; nothing when it serves.
type Patient struct {
	scheduler.Worker
	Problems []string
}

// LookUp reads how the workers of a host do; with a pid other than 0 only that one. It asks
// Redis alone, and changes nothing there.
func LookUp(ctx context.Context, c *config.Config, host string, pid int) (Checkup, error) {
	up := Checkup{Host: host, Namespace: c.Namespace, PID: pid}
	client, closeRedis, err := Connect(c)
	if err != nil {
		return up, err
	}
	defer closeRedis()
	workers, err := lookUp(ctx, client, host)
	if err == nil {
		up.At, err = client.Now(ctx)
	}
	if err != nil {
		return up, explain(c.Redis.Where(), err)
	}
	for _, w := range workers {
		if pid == 0 || w.PID == pid {
			up.Workers = append(up.Workers, Patient{w, problems(w, up.At)})
		}
	}
	return up, nil
}

func lookUp(ctx context.Context, client *scheduler.Client, host string) ([]scheduler.Worker, error) {
	if err := client.WaitReady(ctx); err != nil {
		return nil, err
	}
	return client.WorkersOn(ctx, host)
}

func problems(w scheduler.Worker, now time.Time) []string {
	if !w.Live(now) {
		return []string{fmt.Sprintf("its lease has ended; last beat %s ago", ago(w.Beat, now))}
	}
	var out []string
	if now.Sub(w.Beat) > w.Lease { // after an outage leases are renewed for workers that are gone, too
		out = append(out, fmt.Sprintf("its last beat was %s ago, longer than its lease of %s", ago(w.Beat, now), w.Lease))
	}
	if w.Draining {
		out = append(out, "it is draining: it takes no more tasks")
	}
	for _, h := range w.Down {
		why, _ := w.DownReason(h)
		if why != "" {
			why = ": " + why
		}
		out = append(out, fmt.Sprintf("its handler %q has no plugin process%s", h, why))
	}
	return out
}

func ago(then, now time.Time) time.Duration {
	return max(0, now.Sub(then)).Round(100 * time.Millisecond)
}

// Serving is a worker that serves; false where there is none.
func (c Checkup) Serving() (Patient, bool) {
	for _, p := range c.Workers {
		if len(p.Problems) == 0 {
			return p, true
		}
	}
	return Patient{}, false
}

// Err is what is wrong; nil when some worker serves.
func (c Checkup) Err() error {
	if _, ok := c.Serving(); ok {
		return nil
	}
	if len(c.Workers) == 0 {
		process := ""
		if c.PID != 0 {
			process = fmt.Sprintf(" with process id %d", c.PID)
		}
		return fmt.Errorf("no worker of host %q%s in namespace %q; start one with throttlerd run, with the same Redis and namespace as here", c.Host, process, c.Namespace)
	}
	var all []string
	for _, p := range c.Workers {
		all = append(all, fmt.Sprintf("worker %s: %s", p.ID, strings.Join(p.Problems, ", ")))
	}
	return fmt.Errorf("%s", strings.Join(all, "; "))
}

// String is a line about a worker that serves.
func (c Checkup) String() string {
	p, _ := c.Serving()
	return fmt.Sprintf("worker %s serves %s: %d running, last beat %s ago", p.ID, strings.Join(p.Handlers(), ", "), p.Running, ago(p.Beat, c.At))
}
