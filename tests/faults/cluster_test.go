//go:build linux

package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/scheduler"
	"github.com/throttlerd/throttlerd/tests/faults/check"
	"github.com/throttlerd/throttlerd/tests/proc"
	"github.com/throttlerd/throttlerd/tests/redistest"
)

// Row 28: of a cluster of six the master of the namespace dies. The workers are a user who
// may do what the README says, and nothing else.
func TestClusterMasterKilled(t *testing.T) {
	tag := "{" + namespace + "}:*"
	c := redistest.StartCluster(t, redistest.WithUser("worker", "on", ">sesame", "resetchannels", "~"+tag, "&"+tag,
		"+@all", "-@dangerous", "-@admin", "+info", "+cluster|slots"))
	rdb, err := scheduler.Dial(scheduler.RedisOptions{Cluster: c.Addrs()})
	if err != nil {
		t.Fatal(err)
	}
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := rigOn(t, rdb, fmt.Sprintf("username = \"worker\"\npassword_file = %q\ncluster { addresses = %s }", password, quoted(c.Addrs()[:2])))
	r.masterKilled(c.Master("{" + namespace + "}:clock"))
}

// Row 28: the master that sentinels watch dies.
func TestSentinelMasterKilled(t *testing.T) {
	w := redistest.StartWatched(t)
	rdb, err := scheduler.Dial(scheduler.RedisOptions{Sentinels: w.Addrs(), Master: w.Name})
	if err != nil {
		t.Fatal(err)
	}
	r := rigOn(t, rdb, fmt.Sprintf("sentinel {\nmaster = %q\naddresses = %s\n}", w.Name, quoted(w.Addrs())))
	r.masterKilled(w.Master())
}

func quoted(list []string) string {
	text := "["
	for _, s := range list {
		text += fmt.Sprintf("%q, ", s)
	}
	return text + "]"
}

// masterKilled kills a master under load: starts go on within 6 s, throttlectl answers,
// and what replication had not carried over is all that is lost: tasks of the last
// second, and one burst of each limit at most.
func (r *rig) masterKilled(master *redistest.Server) {
	r.standard("")
	r.start(3)
	r.produce(12 * time.Millisecond)
	r.more(300)
	from := proc.Mono()
	master.Kill()
	at := r.resumed(from + int64(500*time.Millisecond))
	r.fault(check.RedisLost, from-int64(time.Second), 0, r.lease)
	r.figure("a master killed: starts went on after %v", time.Duration(at-from).Round(time.Millisecond))
	if took := time.Duration(at - from); took > 6*time.Second {
		r.Errorf("starts went on %v after the master was killed; 6s are promised", took)
	}
	if p := proc.Ctl(r, "-c", r.file, "queue", "list"); p.Code != 0 {
		r.Errorf("throttlectl exits with %d:\n%s", p.Code, p.Stderr)
	}
	r.more(300)
	r.halt()
	r.rest(30 * time.Second)
	h := r.history()
	h.Unknown = r.h.Unknown
	lost := lostSince(h, from-int64(time.Second), at)
	r.figure("%d of %d acknowledged tasks had not reached the replica", lost, len(h.Acked)+lost)
	r.pressed(h)
	h.Pressed = false // by rates that have twice the burst they had
	for i, l := range h.Limits {
		epochs := slices.Clone(l.Epochs)
		epochs[0].Rate.Burst *= 2
		h.Limits[i].Epochs = epochs
	}
	h.Drained = true
	r.report(h, "", func(v check.Violation) bool {
		return !slices.Contains([]string{"I4", "I7"}, v.Invariant) // what was settled and spent may be lost
	})
}

// resumed waits for the first start after an instant.
func (r *rig) resumed(after int64) (at int64) {
	r.Helper()
	proc.Eventually(r, 30*time.Second, "starts go on", func() bool {
		for _, e := range slices.Backward(r.journal.Entries()) {
			if e.MonoNs < after {
				break
			}
			if e.Event == "start" {
				at = e.MonoNs
			}
		}
		return at > 0
	})
	return at
}

// lostSince takes the tasks that were acknowledged between two instants, and are nowhere,
// out of a history, and tells how many they are. Some may have run before they were lost.
func lostSince(h *check.History, from, to int64) int {
	known := make(map[string]bool)
	for _, q := range h.Now.Queues {
		for _, id := range q.Bodies {
			known[id] = true
		}
	}
	n := len(h.Acked)
	h.Acked = slices.DeleteFunc(h.Acked, func(a check.Ack) bool { return a.AtNs >= from && a.AtNs <= to && !known[a.Task] })
	return n - len(h.Acked)
}
