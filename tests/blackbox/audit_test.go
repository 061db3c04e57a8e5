//go:build linux

package blackbox

import (
	"strconv"
	"strings"
)

// snapshot reads all places where a task of one queue can be, at one instant. The keys
// are those of docs/architecture.md.
const snapshot = `
local p, q = KEYS[1], ARGV[1]
local run = {}
for _, w in ipairs(redis.call('ZRANGE', p .. 'workers', 0, -1)) do
  for i, v in ipairs(redis.call('HGETALL', p .. 'run:' .. w)) do run[#run + 1] = v end
end
return {
  redis.call('HKEYS', p .. 'tasks:' .. q), redis.call('LRANGE', p .. 'wait:' .. q, 0, -1),
  redis.call('ZRANGE', p .. 'front:' .. q, 0, -1), redis.call('ZRANGE', p .. 'later:' .. q, 0, -1),
  redis.call('ZRANGE', p .. 'dead:' .. q, 0, -1), redis.call('LRANGE', p .. 'ended:' .. q, 0, -1),
  run, redis.call('HMGET', p .. 'q:' .. q, 'waiting', 'later', 'dead', 'running', 'ended'),
}`

// audit demands that every acknowledged task of a queue is in exactly one state, that
// the counters say so too, and returns how many are in each. It may run under load.
func (s *site) audit(queue string, acknowledged []string) map[string]int {
	s.Helper()
	reply, err := s.rdb.Eval(s.ctx(), snapshot, []string{"{" + namespace + "}:"}, queue).Slice()
	s.must(err)
	place := make(map[string]string)
	count := make(map[string]int)
	put := func(id, where string) {
		if other := place[id]; other != "" {
			s.Errorf("task %s is %s and %s", id, other, where)
		}
		place[id] = where
		count[where]++
	}
	list := func(i int) []string {
		var out []string
		for _, v := range reply[i].([]any) {
			text, _ := v.(string)
			out = append(out, text)
		}
		return out
	}
	bodies := make(map[string]bool)
	for _, id := range list(0) {
		bodies[id] = true
	}
	for i, where := range []string{2: "waiting", 3: "scheduled", 4: "dead", 5: "ended"} {
		if where != "" {
			for _, id := range list(i) {
				put(id, where)
			}
		}
	}
	run := list(6)
	for i := 0; i+1 < len(run); i += 2 {
		if f := strings.Fields(run[i+1]); len(f) > 4 && f[4] == queue { // fence start turn claim queue charge...
			put(run[i], "running")
		}
	}
	for _, id := range list(1) {
		if bodies[id] && place[id] != "ended" { // else it was cancelled in the list
			put(id, "waiting")
		}
	}
	for i, where := range []string{"waiting", "scheduled", "dead", "running", "ended"} {
		if n, _ := strconv.Atoi(list(7)[i]); n != count[where] {
			s.Errorf("queue %s says %d %s tasks; there are %d", queue, n, where, count[where])
		}
	}
	lost := 0
	for _, id := range acknowledged {
		if place[id] == "" || !bodies[id] {
			lost++
		}
	}
	if lost > 0 || len(place) != len(bodies) {
		s.Errorf("queue %s: %d of %d acknowledged tasks are lost; %d bodies in %d places", queue, lost, len(acknowledged), len(bodies), len(place))
	}
	return count
}
