//go:build linux

package check

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// Snapshot is what stands in one namespace. Each queue is of one instant.
type Snapshot struct {
	Prefix  string           // "{namespace}:"
	Queues  map[string]Queue // of those that were asked for
	Workers map[string]int64 // that were known while it was read, to the end of their lease
	Limits  map[string]map[string]string
	Keys    []string // every key of the whole Redis
}

// Queue is every place where a task of one queue can be, and what the queue counts.
type Queue struct {
	Bodies    []string // tasks whose record is there
	Waiting   []string // may name tasks that were cancelled since
	Back      []string // waiting in front
	Scheduled []string
	Dead      []string
	Ended     []string
	Ends      map[string]End
	Running   []Lease
	Counts    map[string]int64 // as its hash has them: waiting, later, dead, running, ended, done, failed, spent, wasted
}

// Lease is one running task.
type Lease struct {
	Task, Worker string
	Fence, Start int64
	Charges      map[string]int64 // by limit; "queue" the queue's own
}

// End is how a task ended.
type End struct {
	State  string
	Start  int64 // engine time of the run's grant
	Worker string
}

// places reads one queue in one step. The keys are those of docs/architecture.md.
const places = `
local p, q = KEYS[1], ARGV[1]
local run = {}
for _, key in ipairs(redis.call('KEYS', '*' .. 'run:*')) do
  local worker = string.match(key, '^' .. string.gsub(p, '%p', '%%%0') .. 'run:(.*)$')
  if worker then
    for i, v in ipairs(redis.call('HGETALL', key)) do
      if i % 2 == 1 then run[#run + 1] = worker end
      run[#run + 1] = v
    end
  end
end
local wait, back = redis.call('LRANGE', p .. 'wait:' .. q, 0, -1), redis.call('ZRANGE', p .. 'front:' .. q, 0, -1)
local seen = {}
local function lane(key)
  if seen[key] then return end
  seen[key] = true
  for _, id in ipairs(redis.call('LRANGE', p .. 'lane:' .. q .. ':' .. key, 0, -1)) do wait[#wait + 1] = id end
  for _, id in ipairs(redis.call('ZRANGE', p .. 'lanefront:' .. q .. ':' .. key, 0, -1)) do back[#back + 1] = id end
end
for _, set in ipairs({'keyready:', 'keylater:', 'keyfull:'}) do
  for _, key in ipairs(redis.call('ZRANGE', p .. set .. q, 0, -1)) do lane(key) end
end
for _, key in ipairs(redis.call('HKEYS', p .. 'keys:' .. q)) do lane(key) end -- also those to be looked at again
return {
  redis.call('HKEYS', p .. 'tasks:' .. q), wait, back, redis.call('ZRANGE', p .. 'later:' .. q, 0, -1),
  redis.call('ZRANGE', p .. 'dead:' .. q, 0, -1), redis.call('LRANGE', p .. 'ended:' .. q, 0, -1),
  redis.call('HGETALL', p .. 'ends:' .. q), run, redis.call('HGETALL', p .. 'q:' .. q),
  redis.call('ZRANGE', p .. 'workers', 0, -1, 'WITHSCORES'),
}`

// Read takes a snapshot of these queues, also while all goes on.
func Read(ctx context.Context, rdb redis.UniversalClient, namespace string, queues ...string) (*Snapshot, error) {
	s := &Snapshot{Prefix: "{" + namespace + "}:", Queues: make(map[string]Queue), Workers: make(map[string]int64), Limits: make(map[string]map[string]string)}
	for _, name := range queues {
		reply, err := rdb.Eval(ctx, places, []string{s.Prefix}, name).Slice()
		if err != nil {
			return nil, fmt.Errorf("snapshot of queue %q: %w", name, err)
		}
		q := Queue{
			Bodies: list(reply[0]), Waiting: list(reply[1]), Back: list(reply[2]), Scheduled: list(reply[3]), Dead: list(reply[4]),
			Ended: list(reply[5]), Ends: make(map[string]End), Counts: make(map[string]int64),
		}
		for id, text := range pairs(reply[6]) {
			q.Ends[id] = readEnd(text)
		}
		run := list(reply[7])
		for i := 0; i+2 < len(run); i += 3 {
			if l, of := readLease(run[i], run[i+1], run[i+2]); of == name {
				q.Running = append(q.Running, l)
			}
		}
		for field, v := range pairs(reply[8]) {
			if n, err := strconv.ParseInt(v, 10, 64); err == nil {
				q.Counts[field] = n
			}
		}
		s.Queues[name] = q
		for id, at := range pairs(reply[9]) {
			end, _ := strconv.ParseFloat(at, 64)
			s.Workers[id] = int64(end)
		}
	}
	return s, s.readRest(ctx, rdb)
}

// readRest reads the limits and the names of all keys.
func (s *Snapshot) readRest(ctx context.Context, rdb redis.UniversalClient) error {
	var err error
	if c, ok := rdb.(*redis.ClusterClient); ok {
		var one sync.Mutex // they are called side by side
		err = c.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
			one.Lock()
			defer one.Unlock()
			return s.scan(ctx, node)
		})
	} else {
		err = s.scan(ctx, rdb)
	}
	if err != nil {
		return fmt.Errorf("snapshot of the keys: %w", err)
	}
	for _, key := range s.Keys {
		if name, ok := strings.CutPrefix(key, s.Prefix+"l:"); ok {
			if s.Limits[name], err = rdb.HGetAll(ctx, key).Result(); err != nil {
				return fmt.Errorf("snapshot of limit %q: %w", name, err)
			}
		}
	}
	return nil
}

func (s *Snapshot) scan(ctx context.Context, rdb redis.Cmdable) error {
	for cursor := uint64(0); ; {
		keys, next, err := rdb.Scan(ctx, cursor, "", 1000).Result()
		if err != nil {
			return err
		}
		s.Keys = append(s.Keys, keys...)
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

// readLease reads "fence start turn claim queue charges"; a key's charge is last, for a
// key may hold anything.
func readLease(worker, task, text string) (l Lease, queue string) {
	l = Lease{Task: task, Worker: worker, Charges: map[string]int64{"queue": 1}}
	var turn, claim int64
	if _, err := fmt.Sscan(text, &l.Fence, &l.Start, &turn, &claim, &queue); err != nil {
		return l, ""
	}
	for _, part := range strings.Fields(text)[5:] {
		name, cost, ok := strings.Cut(part, "=")
		if !ok || name == "key" {
			break
		}
		l.Charges[name], _ = strconv.ParseInt(cost, 10, 64)
	}
	return l, queue
}

// readEnd reads "state at start worker\nresult".
func readEnd(text string) End {
	head, _, _ := strings.Cut(text, "\n")
	f := strings.Split(head, " ")
	if len(f) < 4 {
		return End{}
	}
	start, _ := strconv.ParseInt(f[2], 10, 64)
	return End{State: f[0], Start: start, Worker: f[3]}
}

func list(v any) []string {
	items, _ := v.([]any)
	out := make([]string, len(items))
	for i, x := range items {
		out[i], _ = x.(string)
	}
	return out
}

func pairs(v any) map[string]string {
	l, out := list(v), make(map[string]string)
	for i := 0; i+1 < len(l); i += 2 {
		out[l[i]] = l[i+1]
	}
	return out
}
