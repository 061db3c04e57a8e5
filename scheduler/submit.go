package scheduler

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/throttlerd/throttlerd/ratelimit"
)

const (
	// DefaultMaxPayload is the largest payload unless the Client is told otherwise.
	DefaultMaxPayload = 256 << 10
	// HardMaxPayload is the most that it can be told.
	HardMaxPayload = 1 << 20

	submitChunk  = 256     // tasks in one call
	payloadChunk = 512     // of tasks that have nothing but a payload: Redis is busy with them for less than 1 ms
	submitBytes  = 1 << 20 // about; at least one task
)

// SubmitRequest is one task to be.
type SubmitRequest struct {
	Queue   string
	Payload []byte // JSON by convention; the scheduler does not look into it
	ID      string // own id; "" for a generated one
	Type    string
	Key     string
	Headers map[string]string
	Cost    int64            // tokens of each limit that Costs does not name; 0 is 1
	Costs   map[string]int64 // by limit; "queue" and "key" are the queue's own and the key's. 0 is not under it
	In      time.Duration    // not before this from now
	At      time.Time        // not before this instant; not together with In
}

// Receipt says what became of a submitted task.
type Receipt struct {
	ID    string
	Queue string
	State string // "waiting" or "scheduled"
	// Position is how many tokens have to come before its own: 0 when one is there
	// now. Of a scheduled task it is 0.
	Position int64
	// EarliestStart is when all its limits together let it start, if all before it in
	// its queue or key start as early as they may and nobody else takes a token. Zero while the queue is held (paused).
	EarliestStart time.Time
	// Binding is the limit that holds it up longest; nil when it can start now.
	Binding *Binding
	// BestCase: tasks of other keys wait too and may go first, in which case Position and
	// EarliestStart are more.
	BestCase bool
	// Held is why the queue starts nothing: "" where it does, else "paused", "undeclared" or
	// "damaged".
	Held string

	late bool // those before it in its queue take what is there
}

// Receipts are those of one SubmitMany, in the order of its tasks.
type Receipts []Receipt

// Ready is how many may start now: a token is there for each, and the queue is not held.
func (r Receipts) Ready() int {
	n := 0
	for i := range r {
		if r[i].ready() {
			n++
		}
	}
	return n
}

// Waiting is how many have to wait: for a token, their instant, or the queue.
func (r Receipts) Waiting() int { return len(r) - r.Ready() }

func (r *Receipt) ready() bool {
	frozen := r.Binding != nil && r.Binding.Why == "frozen"
	return r.State == "waiting" && r.Position == 0 && !r.EarliestStart.IsZero() && !r.late && !frozen
}

// Submit puts one task into its queue. When it returns without an error the task is
// in Redis. An own id that is taken is ErrTaskExists; an unknown queue is a
// *NotFoundError; what is wrong with the task itself an *InvalidError.
func (c *Client) Submit(ctx context.Context, r SubmitRequest) (Receipt, error) {
	out, err := c.SubmitMany(ctx, r.Queue, []SubmitRequest{r})
	if len(out) == 1 {
		return out[0], nil
	}
	return Receipt{}, err
}

// SubmitMany puts many tasks into one queue, in order, in calls of up to 256, or 512 where
// they have nothing but a payload. All are checked before the first goes out. It returns
// the receipts of those that are in Redis; with an error, that is how many of the first ones.
func (c *Client) SubmitMany(ctx context.Context, queue string, tasks []SubmitRequest) (Receipts, error) {
	if err := c.checkTasks(queue, tasks); err != nil {
		return nil, err
	}
	receipts, done := make(Receipts, len(tasks)), 0
	if len(tasks) == 0 {
		return receipts, nil
	}
	chunk := firstChunk(tasks)
	args := submitArgs(queue, chunk)
	var reading sync.WaitGroup
	for {
		var next []SubmitRequest
		var nextArgs []any
		var preparing sync.WaitGroup
		if after := tasks[done+len(chunk):]; len(after) > 0 { // made ready while Redis is at work
			preparing.Go(func() {
				next = firstChunk(after)
				nextArgs = submitArgs(queue, next)
			})
		}
		reply, err := c.submitCall(ctx, queue, chunk, args)
		preparing.Wait()
		reading.Wait()
		if err != nil {
			var refused *TaskRefusedError
			if errors.As(err, &refused) {
				refused.Index += done
			}
			return receipts[:done], err
		}
		into := receipts[done : done+len(chunk)]
		done += len(chunk)
		if done == len(tasks) {
			readReceipts(queue, chunk, reply, into)
			return receipts, nil
		}
		put := chunk
		reading.Go(func() { readReceipts(queue, put, reply, into) })
		chunk, args = next, nextArgs
	}
}

// checkTasks finds what is refused before Redis is asked.
func (c *Client) checkTasks(queue string, tasks []SubmitRequest) error {
	if err := CheckName("queue", queue); err != nil {
		return err
	}
	for i := range tasks {
		if err := tasks[i].validate(c.max); err != nil {
			if len(tasks) > 1 {
				return fmt.Errorf("task %d: %w", i+1, err)
			}
			return err
		}
	}
	return nil
}

// firstChunk is as many of the first tasks as one call takes.
func firstChunk(tasks []SubmitRequest) []SubmitRequest {
	n, size, most := 0, 0, payloadChunk
	for n < min(len(tasks), most) && (n == 0 || size+len(tasks[n].Payload) <= submitBytes) {
		if !tasks[n].plain() || tasks[n].ID != "" {
			most = submitChunk
		}
		size += len(tasks[n].Payload)
		n++
	}
	return tasks[:min(n, most)]
}

// submitArgs are those of submit.lua, or the short ones of submit_plain.lua: the records
// alone, or with the own ids.
func submitArgs(queue string, tasks []SubmitRequest) []any {
	own, plain := 0, 0
	for i := range tasks {
		if tasks[i].ID != "" {
			own++
		}
		if tasks[i].plain() {
			plain++
		}
	}
	args := make([]any, 1, 1+3*len(tasks))
	args[0] = queue
	ids, whens := true, true
	if plain == len(tasks) && own == 0 {
		args[0], ids, whens = "*"+queue, false, false
	} else if plain == len(tasks) && own == len(tasks) {
		args[0], whens = "+"+queue, false
	}
	for i := range tasks {
		t := &tasks[i]
		if ids {
			args = append(args, t.ID)
		}
		if whens {
			args = append(args, t.when())
		}
		r := record{OwnID: t.ID, Type: t.Type, Key: t.Key, Headers: t.Headers, Cost: t.Cost, Costs: t.Costs, Payload: t.Payload}
		args = append(args, r.encode())
	}
	return args
}

// plain tells whether a task is to start as soon as it can, and has nothing but a payload
// and maybe an own id.
func (r *SubmitRequest) plain() bool {
	return r.Type == "" && r.Key == "" && len(r.Headers) == 0 && r.Cost <= 1 && len(r.Costs) == 0 && r.In == 0 && r.At.IsZero()
}

// submitCall puts one chunk in, all of it or none.
func (c *Client) submitCall(ctx context.Context, queue string, tasks []SubmitRequest, args []any) ([]any, error) {
	reply, err := c.run(ctx, submitScript, args...)
	if err != nil {
		return nil, fmt.Errorf("submit to queue %q: %w", queue, err)
	}
	switch reply[0].(int64) {
	case 0:
		return nil, c.unknownQueue(ctx, queue)
	case -1:
		id := tasks[reply[1].(int64)-1].ID
		return nil, conflictf(ErrTaskExists, "submit to queue %q: task id %q is taken", queue, id)
	case -2:
		return nil, &QueueFullError{Queue: queue, MaxLength: reply[1].(int64), Holds: reply[2].(int64)}
	case -3, -4, -5:
		return nil, refused(queue, tasks, reply)
	}
	return reply, nil
}

// refused says why the limits of a queue take a task not in.
func refused(queue string, tasks []SubmitRequest, reply []any) error {
	k := int(reply[1].(int64)) - 1
	var err error
	switch reply[0].(int64) {
	case -3:
		err = keyMissing(queue)
	case -4:
		err = costAbove(queue, limitWords(reply[2].(string), tasks[k].Key), reply[3].(int64), reply[4].(int64))
	case -5:
		err = costUnknown(queue, reply[2].(string))
	}
	if len(tasks) > 1 {
		return &TaskRefusedError{Index: k, Err: err}
	}
	return err
}

// readReceipts makes the receipts of a chunk.
func readReceipts(queue string, tasks []SubmitRequest, reply []any, out []Receipt) {
	now, ahead := reply[1].(int64), reply[2].(int64)
	var stand standings
	var ids, places []any
	first, suffix := int64(0), ""
	if reply[0].(int64) == 2 {
		stand = plainStanding(reply[5:])
		first, suffix = reply[3].(int64), "-"+strconv.FormatInt(reply[4].(int64), 16)
	} else {
		stand = readStandings(reply[3])
		ids, places = reply[4].([]any), reply[5].([]any)
	}
	for i := range tasks {
		t := &tasks[i]
		r := Receipt{ID: t.ID, Queue: queue, State: "waiting", Held: stand.held}
		scheduled := int64(0)
		if ids != nil {
			r.ID = cmp.Or(r.ID, ids[2*i].(string))
			scheduled = ids[2*i+1].(int64)
		} else if r.ID == "" {
			r.ID = internalID(first+int64(i), suffix)
		}
		start := now
		if scheduled > 0 {
			r.State, start = "scheduled", scheduled
		} else {
			before := ahead
			if len(places) > 0 {
				before = places[i].(int64)
			}
			start, r.Binding = stand.bind(now, before, t.Cost, t.Costs, t.Key)
			r.Position = stand.position(now, before, t.Cost, t.Costs)
			if before < ahead {
				r.BestCase, r.late = true, !stand.room(now, before, ahead, t.Cost, t.Costs)
			}
			ahead++
		}
		if stand.held == "" && start != ratelimit.Never {
			r.EarliestStart = time.UnixMicro(start).UTC()
		}
		out[i] = r
	}
}

// internalID is the id of a number and its queue's suffix.
func internalID(number int64, suffix string) string {
	id := strconv.FormatInt(number, 16)
	return strings.Repeat("0", max(0, 13-len(id))) + id + suffix
}

func (r *SubmitRequest) when() string {
	switch {
	case r.In > 0:
		return fmt.Sprintf("+%d", r.In.Microseconds())
	case !r.At.IsZero():
		return fmt.Sprintf("@%d", r.At.UnixMicro())
	}
	return ""
}

func (r *SubmitRequest) validate(maxPayload int) error {
	bad := func(what, reason string, args ...any) error {
		return &InvalidError{What: what, Reason: fmt.Sprintf(reason, args...), Payload: true}
	}
	year := 366 * 24 * time.Hour
	if r.ID != "" && !ownIDForm.MatchString(r.ID) {
		return &InvalidError{What: "task id", Reason: fmt.Sprintf("%q is not 1 to 64 of A-Z a-z 0-9 _ . -", r.ID)}
	}
	if _, _, ok := parseID(r.ID); ok {
		return &InvalidError{What: "task id", Reason: fmt.Sprintf("%q has the form of a generated one; choose another", r.ID)}
	}
	headers := 0
	for _, k := range sortedKeys(r.Headers) {
		headers += len(k) + len(r.Headers[k])
		if k == "" || strings.ContainsAny(k+r.Headers[k], "\x00\r\n") {
			return bad("header", "%q is empty or holds a line break", k)
		}
	}
	switch {
	case len(r.Payload) > maxPayload:
		return bad("payload", "has %d bytes; at most %d are taken (max_payload)", len(r.Payload), maxPayload)
	case len(r.Type) > 64 || len(r.Key) > 256:
		return bad("type or key", "is too long: at most 64 and 256 bytes")
	case headers > 16<<10:
		return bad("headers", "have %d bytes; at most %d are taken", headers, 16<<10)
	case strings.ContainsAny(r.Key, "\x00\r\n"):
		return bad("key", "%q holds a line break", r.Key)
	case r.In > 0 && !r.At.IsZero():
		return bad("delay", "is given twice: in and at")
	case r.In < 0 || r.In > year || !r.At.IsZero() && time.Until(r.At) > year:
		return bad("delay", "must be within 366 days")
	}
	return checkCosts(r.Cost, r.Costs)
}

// CheckJSON refuses what is not one JSON value.
func CheckJSON(payload []byte) error {
	if json.Valid(payload) {
		return nil
	}
	var v any
	err := json.Unmarshal(payload, &v)
	var syntax *json.SyntaxError
	reason := "is not valid JSON"
	if errors.As(err, &syntax) {
		reason = fmt.Sprintf("is not valid JSON: at byte %d: %s", syntax.Offset, syntax)
	}
	return &InvalidError{What: "payload", Reason: reason, Payload: true}
}

// unknownQueue names the nearest queue there is.
func (c *Client) unknownQueue(ctx context.Context, name string) error {
	names, err := c.rdb.ZRangeByLex(ctx, c.keys.queues(), &redis.ZRangeBy{Min: "-", Max: "+", Count: 10000}).Result()
	if err != nil {
		names = nil // the answer is the same, only less helpful
	}
	return &NotFoundError{Kind: "queue", Name: name, Namespace: c.namespace, Nearest: ratelimit.Nearest(name, names)}
}
