package scheduler

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/throttlerd/throttlerd/internal/once"
	"github.com/throttlerd/throttlerd/ratelimit"
)

// What can become of a run. settle.lua says what each does.
const (
	Done      = "done"
	Failed    = "failed"
	Dead      = "dead"
	RetryIn   = "retry"
	Throttled = "throttled"
	GiveBack  = "back"
	Crashed   = "crashed"
	Postponed = "postponed"
	Cancelled = "cancelled"
)

// MaxClaim is the most tasks that one claim takes; maxClaimBytes about the most bytes.
const (
	MaxClaim      = 128
	maxClaimBytes = 512 << 10 // a claim of so much takes Redis 2 ms
)

// Outcome reports one run under its fence.
type Outcome struct {
	Task      string // internal id
	Fence     int64
	Kind      string
	Number    int64  // as settle.lua says for the kind
	Text      string // error, or of a done task its result
	Truncated bool   // the result was cut

	// Limit is, of a Throttled one, the limit that is frozen: "" or "queue" the queue's
	// own, "key" only the task's key, or a named limit of the queue.
	Limit string
	// Actual is what the run really cost, by limit, where the handler said so.
	Actual map[string]int64
	// Reports are what upstream said of its limits.
	Reports []Report
}

// Report is what upstream said is left. It can lower a bucket, never raise it.
type Report struct {
	Limit     string        // as Outcome.Limit
	Remaining int64         // tokens; 0 freezes the limit for Reset
	Reset     time.Duration // until upstream's count begins anew
}

// Claim asks for tasks.
type Claim struct {
	Slots     []Slots
	Lookahead time.Duration
	Most      int // tasks over all indexes; MaxClaim when 0
	Part      int // tasks that a queue may take in its turn while others wait; 1 when 0
	// Ahead is how many tasks are taken beyond the free slots, where one index is asked
	// and all that is due there is without limits: they may start at once, and wait at the
	// worker for a slot.
	Ahead int
}

// Grant is a task that is leased to this worker and may start at its instant.
type Grant struct {
	Internal    string // id by which it is settled
	ID          string
	Queue       string
	Handler     string // "" when the queue has been removed
	Type, Key   string
	Headers     map[string]string
	Payload     []byte
	Attempt     int
	MaxAttempts int
	Crashes     int
	Fence       int64
	SubmittedAt time.Time
	GrantedAt   time.Time     // engine time: the instant its limits were debited at; it may lie ahead
	StartIn     time.Duration // from Granted.Received; not positive: now
	Timeout     time.Duration
	Damaged     error // its record cannot be read: settle it as Dead
}

// Settled is the answer to the outcomes of an Exchange.
type Settled struct {
	Stale    int          // outcomes whose fence is not in force: they changed nothing
	NotUnder []QueueLimit // what outcomes told of and their tasks were not charged
}

// QueueLimit is a named limit as a handler spoke of it in a run of a queue's task.
type QueueLimit struct{ Queue, Limit string }

// Granted is the answer to a Claim.
type Granted struct {
	Grants []Grant // StartIn counts from Received
	// Received is when the answer came, by this machine's clock: not before the
	// engine instant that StartIn counts from, so that no start is early.
	Received time.Time
	Sent     time.Time // when the claim went out: the engine instant is not before it; zero where the submit made it
	Until    time.Time // the lease stands until then at least
	// Again: these are all leases of some claims; those that the worker has are among them.
	Again   bool
	Indexes []Next // in the order of Claim.Slots
	Moves   int    // queues that went from one limit to wait at another
}

// Next says when it is worth to claim from an index again.
type Next struct {
	Idle bool          // nothing can start now; a signal comes when that changes. Else ask again once a slot is free
	In   time.Duration // from Received; 0 when no instant is known
	Mine bool          // this worker is the one that should come then
	More bool          // there is more of what Claim.Ahead takes
}

// Exchange settles outcomes and claims tasks in one round trip; either may be left
// out. An outcome whose fence is not in force changes nothing. What one tells of a limit
// that its task was not charged is passed over; a throttle is then one of the queue.
// After an error the same outcomes and the same claim are to be given again: what had
// taken effect takes effect once. A claim without a lease is ErrLeaseLost.
func (s *Session) Exchange(ctx context.Context, outcomes []Outcome, claim *Claim) (granted *Granted, settled Settled, settleErr, claimErr error) {
	pipe := s.c.rdb.Pipeline()
	var settle, ask *redis.Cmd
	var settleArgs, claimArgs []any
	if len(outcomes) > 0 {
		settleArgs = s.settleArgs(outcomes)
		settle = once.Do(ctx, pipe, settleScript.evalsha(s.c.keys, settleArgs)...)
	}
	if claim != nil {
		claimArgs = s.claimArgs(claim)
		ask = once.Do(ctx, pipe, claimScript.evalsha(s.c.keys, claimArgs)...)
	}
	sent := time.Now()
	_, _ = pipe.Exec(ctx) // each command has its own error
	received := time.Now()
	if settle != nil {
		v, err := s.reply(ctx, settle, settleScript, settleArgs)
		if err != nil {
			settleErr = fmt.Errorf("settle %d tasks: %w", len(outcomes), err)
		}
		for _, r := range v {
			switch r := r.(type) {
			case int64:
				if r == 0 {
					settled.Stale++
				}
			case string:
				names := strings.Fields(r)
				for _, limit := range names[1:] {
					settled.NotUnder = append(settled.NotUnder, QueueLimit{names[0], limit})
				}
			}
		}
	}
	if ask != nil {
		v, err := s.reply(ctx, ask, claimScript, claimArgs)
		if isNoScript(ask.Err()) {
			received = time.Now()
		}
		if err == nil {
			granted, err = s.readGrants(v, claim, sent, received)
		}
		if err != nil {
			claimErr = fmt.Errorf("claim: %w", err)
		}
	}
	return granted, settled, settleErr, claimErr
}

func (s *Session) reply(ctx context.Context, cmd *redis.Cmd, sc *script, args []any) ([]any, error) {
	v, err := cmd.Slice()
	if isNoScript(err) {
		return sc.run(ctx, s.c.rdb, s.c.keys, args...)
	}
	return v, redisError(err)
}

func (s *Session) settleArgs(outcomes []Outcome) []any {
	args := make([]any, 1, 1+6*len(outcomes))
	if plainEnds(outcomes) {
		args[0] = "*" + s.w.ID
		for i := range outcomes {
			args = append(args, outcomes[i].Task, outcomes[i].Fence, outcomes[i].text())
		}
		return args
	}
	args[0] = s.w.ID
	for i := range outcomes {
		o := &outcomes[i]
		args = append(args, o.Task, o.Fence, o.Kind, o.Number, o.text(), o.extra())
	}
	return args
}

// plainEnds tells whether all are done, with nothing to be said of limits.
func plainEnds(outcomes []Outcome) bool {
	for i := range outcomes {
		if outcomes[i].Kind != Done || outcomes[i].extra() != "" {
			return false
		}
	}
	return true
}

// text is the error, or the result of a done task with its flag in front.
func (o *Outcome) text() string {
	switch {
	case o.Kind != Done:
		return o.Text
	case o.Truncated:
		return "+" + o.Text
	}
	return "-" + o.Text
}

// extra is what settle.lua takes beside the outcome. Limits are named as they are; who
// names none that the task was charged says nothing.
func (o *Outcome) extra() string {
	if o.Limit == "" && len(o.Actual) == 0 && len(o.Reports) == 0 {
		return ""
	}
	var b strings.Builder
	if o.Limit != "" {
		fmt.Fprintf(&b, "l %s\n", cmp.Or(plainLimit(o.Limit), "?"))
	}
	for _, name := range sortedKeys(o.Actual) {
		if plainLimit(name) != "" {
			fmt.Fprintf(&b, "a %s %d\n", name, min(max(o.Actual[name], 0), ratelimit.MaxCount))
		}
	}
	for _, r := range o.Reports {
		if name := cmp.Or(r.Limit, ofQueue); plainLimit(name) != "" {
			fmt.Fprintf(&b, "r %s %d %d\n", name, min(max(r.Remaining, 0), ratelimit.MaxCount), min(max(r.Reset, 0), maxFreeze).Microseconds())
		}
	}
	return b.String()
}

// plainLimit is the name of a limit, or "" for what cannot be one.
func plainLimit(name string) string {
	if ratelimit.ValidName(name) {
		return name
	}
	return ""
}

func (s *Session) claimArgs(c *Claim) []any {
	most := MaxClaim
	if c.Most > 0 {
		most = min(c.Most, MaxClaim)
	}
	args := make([]any, 0, 7+2*len(c.Slots))
	args = append(args, s.w.ID, s.claims.ask(), c.Lookahead.Microseconds(), most, maxClaimBytes, max(1, c.Part), c.Ahead)
	for _, f := range c.Slots {
		args = append(args, f.Index, f.Free)
	}
	return args
}

func (s *Session) readGrants(v []any, c *Claim, sent, received time.Time) (*Granted, error) {
	if v[0].(int64) == 0 {
		return nil, ErrLeaseLost
	}
	now, fence := v[1].(int64), v[2].(int64)
	g := &Granted{Received: received, Sent: sent, Indexes: make([]Next, len(c.Slots))}
	for i, x := range v[3].([]any) {
		f := x.([]any)
		g.Indexes[i] = Next{Idle: f[0].(int64) == 1, Mine: f[2].(int64) == 1, More: len(f) > 3}
		if next := f[1].(int64); next > 0 {
			g.Indexes[i].In = max(time.Microsecond, time.Duration(next-now)*time.Microsecond)
		}
	}
	if v[0].(int64) == 2 {
		g.Again, g.Until, g.Grants = true, s.claims.until(), givenAgain(v[4].([]any), now)
		s.claims.again(v[2].(int64), lastFence(g.Grants))
		return g, nil
	}
	s.claims.renewed(sent.Add(s.lease))
	g.Until = sent.Add(s.lease)
	g.Moves = int(v[5].(int64))
	queues, n := v[4].([]any), 0
	for i := 3; i < len(queues); i += 4 {
		n += len(queues[i].([]any)) / 2 // or less
	}
	g.Grants = make([]Grant, 0, n)
	for i := 0; i+3 < len(queues); i += 4 {
		queue := queues[i].(string)
		handler := handlerOf(queues[i+1].(string))
		limit, most := readWork(queues[i+2].(string))
		tasks, start, each := queues[i+3].([]any), int64(0), 3
		if at, all := tasks[0].(int64); all { // one instant for all
			tasks, start, each = tasks[1:], at, 2
		}
		for j := 0; j+each <= len(tasks); j += each {
			if each == 3 {
				start = tasks[j+1].(int64)
			}
			grant := newGrant(tasks[j].(string), tasks[j+each-1].(string))
			grant.Queue, grant.Handler, grant.Timeout, grant.MaxAttempts = queue, handler, limit, most
			grant.lease(fence, start, now)
			g.Grants = append(g.Grants, grant)
			fence++
		}
	}
	s.claims.taken(lastFence(g.Grants))
	return g, nil
}

// lastFence is the highest of grants in their order, 0 of none.
func lastFence(grants []Grant) int64 {
	if len(grants) == 0 {
		return 0
	}
	return grants[len(grants)-1].Fence
}

// givenAgain reads leases of claims whose numbers are taken.
func givenAgain(leases []any, now int64) []Grant {
	const each = 7
	grants := make([]Grant, 0, len(leases)/each)
	for ; len(leases) >= each; leases = leases[each:] {
		grant := newGrant(leases[2].(string), leases[6].(string))
		grant.Queue, grant.Handler = leases[3].(string), handlerOf(leases[4].(string))
		grant.Timeout, grant.MaxAttempts = readWork(leases[5].(string))
		grant.lease(leases[0].(int64), leases[1].(int64), now)
		grants = append(grants, grant)
	}
	return grants
}

// Take returns a task that was handed over; nil when a claim has given it already. One that is
// given again afterwards, the caller has. The text is "claim fence start id index queue
// timeout attempts", and behind a line break the record.
func (s *Session) Take(h *Handed) *Granted {
	head, record, _ := strings.Cut(h.text, "\n")
	f := strings.SplitN(head, " ", 7)
	if len(f) < 7 || !s.claims.handed(number(f[0]), number(f[1])) {
		return nil
	}
	grant := newGrant(f[3], record)
	grant.Queue, grant.Handler = f[5], handlerOf(f[4])
	grant.Timeout, grant.MaxAttempts = readWork(f[6])
	grant.lease(number(f[1]), number(f[2]), number(f[2]))
	return &Granted{Grants: []Grant{grant}, Received: h.received, Until: s.claims.until()}
}

// newGrant is what the record of a task says of it.
func newGrant(internal, record string) Grant {
	r, err := decodeRecord(record)
	g := Grant{
		Internal: internal, ID: cmp.Or(r.OwnID, internal), Type: r.Type, Key: r.Key, Headers: r.Headers,
		Payload: r.Payload, Attempt: r.Attempts + 1, Crashes: r.Crashes, Damaged: err,
	}
	g.SubmittedAt, _, _ = parseID(internal)
	return g
}

// lease notes the fence and the start; engine time was now when the reply was made.
func (g *Grant) lease(fence, start, now int64) {
	g.Fence, g.GrantedAt, g.StartIn = fence, time.UnixMicro(start), time.Duration(start-now)*time.Microsecond
}

// handlerOf is the handler of an index, pool:handler.
func handlerOf(index string) string {
	_, handler, _ := strings.Cut(index, ":")
	return handler
}

// readWork reads what a queue stores for its runs: timeout in µs and most attempts.
func readWork(text string) (timeout time.Duration, attempts int) {
	us, most, _ := strings.Cut(text, " ")
	return time.Duration(number(us)) * time.Microsecond, int(number(most))
}
