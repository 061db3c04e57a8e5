//go:build linux

package blackbox

import "github.com/throttlerd/throttlerd/tests/faults/check"

// audit demands that every acknowledged task of a queue is in exactly one state, that
// the counters say so too, and returns how many are in each. It may run under load.
func (s *site) audit(queue string, acknowledged []string) map[string]int {
	s.Helper()
	now, err := check.Read(s.ctx(), s.rdb, namespace, queue)
	s.must(err)
	acked := make([]check.Ack, len(acknowledged))
	for i, id := range acknowledged {
		acked[i] = check.Ack{Task: id, Queue: queue}
	}
	for _, v := range check.States(now, acked) {
		s.Error(v)
	}
	count := make(map[string]int)
	for _, where := range []string{"waiting", "later", "dead", "running", "ended"} {
		count[where] = int(now.Queues[queue].Counts[where])
	}
	return count
}
