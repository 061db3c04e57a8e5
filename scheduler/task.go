package scheduler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/throttlerd/throttlerd/ratelimit"
)

// Task is one task as it stands.
type Task struct {
	ID          string // own id, or the generated one
	Queue       string
	State       string
	Type, Key   string
	Headers     map[string]string
	Payload     []byte
	Attempts    int // charged runs so far; with the present one while running, the last one when done
	Crashes     int
	Throttles   int
	LastError   string
	SubmittedAt time.Time
	At          time.Time // scheduled: when; running: its start; ended or dead: when
	StartedAt   time.Time // of the last run, if there was one
	Worker      string    // that runs it, or ran it last
	Result      []byte    // of a done task
	Truncated   bool      // the result was cut
	Cost        int64     // as submitted
	Costs       map[string]int64
	// Of a waiting task: how many of its queue, or of its key, are before it (-1 past
	// the first 10,000), when it can start at the earliest, and the limit that holds it
	// up longest.
	Position      int64
	EarliestStart time.Time
	Binding       *Binding

	// Progress of a running task is what its handler told last; nil if nothing, and in
	// lists.
	Progress *Progress

	internal string
	fence    int64 // while it runs
	now      int64 // engine time of the snapshot
	stands   standings
}

// locate finds a task's queue and internal id by either id, without a search.
func (c *Client) locate(ctx context.Context, id string) (queue, internal string, err error) {
	internal = id
	_, no, ok := parseID(id)
	if !ok {
		internal, err = c.rdb.HGet(ctx, c.keys.ids(), id).Result()
		if err == nil {
			_, no, ok = parseID(internal)
		}
	}
	if ok && err == nil {
		queue, err = c.rdb.HGet(ctx, c.keys.numbers(), no).Result()
	}
	if errors.Is(err, redis.Nil) {
		return "", "", c.unknownTask(id)
	}
	if err != nil {
		return "", "", fmt.Errorf("find task %q: %w", id, redisError(err))
	}
	return queue, internal, nil
}

func (c *Client) unknownTask(id string) error {
	return &NotFoundError{Kind: "task", Name: id, Namespace: c.namespace}
}

// Task returns one task by its id; one that is not known, or not any more, is a
// *NotFoundError.
func (c *Client) Task(ctx context.Context, id string) (Task, error) {
	queue, internal, err := c.locate(ctx, id)
	if err != nil {
		return Task{}, err
	}
	t, err := c.inspect(ctx, queue, internal)
	if err == nil && t.State == "" {
		return Task{}, c.unknownTask(id)
	}
	if err == nil && t.State == "running" {
		t.Progress, err = c.progressOf(ctx, t.Worker, t.fence)
	}
	return t, err
}

func (c *Client) inspect(ctx context.Context, queue, internal string) (Task, error) {
	tasks, err := c.inspectAll(ctx, queue, []string{internal})
	if err != nil {
		return Task{}, err
	}
	return tasks[0], nil
}

// inspectAll returns tasks of one queue as they stand, each at its own instant; one that
// is not there has no state.
func (c *Client) inspectAll(ctx context.Context, queue string, internal []string) ([]Task, error) {
	calls := make([][]any, len(internal))
	for i, id := range internal {
		calls[i] = []any{queue, id}
	}
	replies, err := inspectScript.runEach(ctx, c.rdb, c.keys, calls)
	if err != nil {
		return nil, fmt.Errorf("show tasks of queue %q: %w", queue, err)
	}
	tasks := make([]Task, len(replies))
	for i, reply := range replies {
		if tasks[i], err = readTask(queue, internal[i], reply); err != nil {
			return nil, fmt.Errorf("show task %q: %w", internal[i], err)
		}
	}
	return tasks, nil
}

func readTask(queue, internal string, reply []any) (Task, error) {
	t := Task{ID: internal, Queue: queue, State: reply[0].(string), internal: internal}
	if t.State == "" {
		return t, nil
	}
	r, err := decodeRecord(reply[1].(string))
	if err != nil {
		return t, err
	}
	t.Type, t.Key, t.Headers, t.Payload = r.Type, r.Key, r.Headers, r.Payload
	t.Attempts, t.Crashes, t.Throttles, t.LastError = r.Attempts, r.Crashes, r.Throttles, r.LastError
	if t.Worker = r.Worker; r.Start > 0 {
		t.StartedAt = time.UnixMicro(r.Start)
	}
	if r.OwnID != "" {
		t.ID = r.OwnID
	}
	if t.State == "running" || t.State == "done" {
		t.Attempts++
	}
	t.SubmittedAt, _, _ = parseID(internal)
	t.now = reply[5].(int64)
	t.Cost, t.Costs = r.Cost, r.Costs
	a, b := reply[2].(string), reply[3].(string)
	switch t.State {
	case "waiting":
		t.stand(reply[4].(int64), readStandings(reply[6]))
	case "scheduled", "dead":
		at, _ := strconv.ParseFloat(a, 64)
		t.At = time.UnixMicro(int64(at))
	case "running":
		t.Worker = a
		f := strings.Fields(b)
		t.fence, t.At = number(f[0]), time.UnixMicro(number(f[1]))
		t.StartedAt = t.At
	case "done", "cancelled", "expired":
		t.readEnd(a)
	}
	return t, nil
}

// maxPosition is how many tasks inspect.lua looks through for one.
const maxPosition = 10_000

// stand says when a waiting task, with so many before it, can start.
func (t *Task) stand(position int64, s standings) {
	t.Position, t.stands = position, s
	if position < 0 {
		position = maxPosition
	}
	start, binding := s.bind(t.now, position, t.Cost, t.Costs, t.Key)
	if t.Binding = binding; s.held == "" && start != ratelimit.Never {
		t.EarliestStart = time.UnixMicro(start).UTC()
	}
}

// readEnd reads "state ended start worker\nresult".
func (t *Task) readEnd(s string) {
	head, text, _ := strings.Cut(s, "\n")
	f := strings.Split(head, " ")
	if len(f) != 4 {
		return
	}
	t.At, t.Worker = time.UnixMicro(number(f[1])), f[3]
	if start := number(f[2]); start > 0 {
		t.StartedAt = time.UnixMicro(start)
	}
	if text != "" {
		t.Truncated, t.Result = text[0] == '+', []byte(text[1:])
	}
}

// States of a task, in the order of their names in commands.
var States = []string{"waiting", "scheduled", "running", "done", "dead", "cancelled", "expired"}

// Tasks returns up to limit tasks of a queue in one state: the waiting in their
// order, the scheduled and dead by instant, the ended newest first. A snapshot per
// task, not of all at one instant: one may have moved on meanwhile and is left out.
func (c *Client) Tasks(ctx context.Context, queue, state string, limit int) ([]Task, error) {
	if _, err := c.Queue(ctx, queue); err != nil {
		return nil, err
	}
	ids, err := c.taskIDs(ctx, queue, state, int64(limit))
	if err != nil {
		return nil, fmt.Errorf("list tasks of queue %q: %w", queue, redisError(err))
	}
	out := make([]Task, 0, len(ids))
	for page := range slices.Chunk(ids, taskPage) {
		tasks, err := c.inspectAll(ctx, queue, page)
		if err != nil {
			return nil, err
		}
		for _, t := range tasks {
			if t.State == state && len(out) < limit {
				out = append(out, t)
			}
		}
	}
	return out, nil
}

func (c *Client) taskIDs(ctx context.Context, queue, state string, limit int64) ([]string, error) {
	switch state {
	case "waiting":
		front, err := c.rdb.ZRange(ctx, c.keys.front(queue), 0, limit-1).Result()
		if err != nil {
			return nil, err
		}
		rest, err := c.rdb.LRange(ctx, c.keys.wait(queue), 0, limit-1).Result()
		if err != nil {
			return nil, err
		}
		lanes, err := c.laneIDs(ctx, queue, limit)
		return append(append(front, rest...), lanes...), err
	case "scheduled":
		return c.rdb.ZRange(ctx, c.keys.later(queue), 0, limit-1).Result()
	case "dead":
		return c.rdb.ZRange(ctx, c.keys.dead(queue), 0, limit-1).Result()
	case "running":
		return c.runningIDs(ctx, queue)
	case "done", "cancelled", "expired":
		ids, err := c.rdb.LRange(ctx, c.keys.ended(queue), -10*limit, -1).Result()
		for i, j := 0, len(ids)-1; i < j; i, j = i+1, j-1 {
			ids[i], ids[j] = ids[j], ids[i]
		}
		return ids, err
	}
	return nil, &InvalidError{What: "state", Reason: fmt.Sprintf("%q is none of %s", state, strings.Join(States, ", "))}
}

// laneIDs are those of keys, in the order of the keys' turns, each key's in their order.
func (c *Client) laneIDs(ctx context.Context, queue string, limit int64) ([]string, error) {
	var ids []string
	for _, set := range []string{c.keys.keyReady(queue), c.keys.keyLater(queue), c.keys.keyFull(queue)} {
		keys, err := c.rdb.ZRange(ctx, set, 0, limit-1).Result()
		if err != nil {
			return nil, err
		}
		for page := range slices.Chunk(keys, taskPage) {
			cmds, err := c.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
				for _, key := range page {
					p.ZRange(ctx, c.keys.laneFront(queue, key), 0, limit-1)
					p.LRange(ctx, c.keys.lane(queue, key), 0, limit-1)
				}
				return nil
			})
			if err != nil {
				return nil, err
			}
			for _, cmd := range cmds {
				ids = append(ids, cmd.(*redis.StringSliceCmd).Val()...)
			}
			if int64(len(ids)) >= limit {
				return ids, nil
			}
		}
	}
	return ids, nil
}

// runningIDs looks through the leases of all workers.
func (c *Client) runningIDs(ctx context.Context, queue string) ([]string, error) {
	workers, err := c.rdb.ZRange(ctx, c.keys.workers(), 0, -1).Result()
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, w := range workers {
		run, err := c.rdb.HGetAll(ctx, c.keys.run(w)).Result()
		if err != nil {
			return nil, err
		}
		for _, id := range sortedKeys(run) {
			// fence start turn claim queue, then what it was charged
			if f := strings.SplitN(run[id], " ", 6); len(f) > 4 && f[4] == queue {
				ids = append(ids, id)
			}
		}
	}
	return ids, nil
}

// Cancel ends a task that waits or is scheduled, and asks the worker of a running one
// to cancel its handler. It returns the state the task was in. A task that has ended
// is ErrConflict.
func (c *Client) Cancel(ctx context.Context, id string) (state string, err error) {
	return c.steer(ctx, cancelScript, "cancel", id, "waiting", "scheduled", "running")
}

// RetryTask lets a dead task, or one that waits for its instant, become waiting now;
// a dead one gets all its attempts again. Any other state is ErrConflict.
func (c *Client) RetryTask(ctx context.Context, id string) (state string, err error) {
	return c.steer(ctx, retryScript, "retry", id, "dead", "scheduled")
}

func (c *Client) steer(ctx context.Context, s *script, verb, id string, from ...string) (string, error) {
	queue, internal, err := c.locate(ctx, id)
	if err != nil {
		return "", err
	}
	reply, err := c.run(ctx, s, queue, internal)
	if err != nil {
		return "", fmt.Errorf("%s task %q: %w", verb, id, err)
	}
	state := reply[0].(string)
	if state == "" {
		return "", c.unknownTask(id)
	}
	for _, f := range from {
		if state == f {
			return state, nil
		}
	}
	return state, conflictf(ErrConflict, "task %q is %s; only %s can be %s", id, state, strings.Join(from, ", "), map[string]string{"cancel": "cancelled", "retry": "retried"}[verb])
}
