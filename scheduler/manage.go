package scheduler

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
)

// QueueChange is what UpdateQueue changes; nil leaves a setting as it is.
type QueueChange struct {
	Handler, Pool *string
	Rates         *ratelimit.Rates // of the queue's own limit; none lifts it
	Concurrency   *int
	DebtMax       *int64
	For           time.Duration // as of a LimitChange
	By            string        // as of a LimitChange
	Limits        *[]string
	Key           **KeySpec           // a nil *KeySpec takes the bounds off; only while the queue holds no task
	Exceptions    map[string]*KeyRule // what is named is set, or with nil removed
	Timeout       *time.Duration
	MaxAttempts   *int
	RetryMin      *time.Duration
	RetryMax      *time.Duration
	Jitter        *float64
	History       *int
	Paused        *bool
	ExpireAfter   *time.Duration
	MaxLength     *int
}

// CreateQueue makes a queue and returns its name: the one given, or q- and 8 hex
// digits when it is empty. A name that exists is ErrQueueExists; nothing is changed.
func (c *Client) CreateQueue(ctx context.Context, name string, spec QueueSpec) (string, error) {
	if name == "" {
		var b [4]byte
		_, _ = rand.Read(b[:]) // never fails
		name = "q-" + hex.EncodeToString(b[:])
	}
	if err := CheckName("queue", name); err != nil {
		return "", err
	}
	if err := spec.Validate(); err != nil {
		return "", err
	}
	reply, err := c.run(ctx, defineScript, append([]any{"create", name, "", "", "", 0}, spec.fields()...)...)
	if err != nil {
		return "", fmt.Errorf("create queue %q: %w", name, err)
	}
	if err := c.refusedDefine(ctx, name, reply); err != nil {
		return "", err
	}
	if reply[0].(int64) == 0 {
		return "", conflictf(ErrQueueExists, "queue %q exists in namespace %q; queue update changes it", name, c.namespace)
	}
	return name, nil
}

// UpdateQueue changes settings of a queue, at once and for waiting tasks too. A new
// rate accrues from now on; tokens that are there stay, up to the new capacity. On a
// queue that a file declares it is an override, which a later apply leaves in force.
func (c *Client) UpdateQueue(ctx context.Context, name string, ch QueueChange) error {
	q, err := c.Queue(ctx, name)
	if err != nil {
		return err
	}
	spec := q.QueueSpec
	set(&spec.Handler, ch.Handler)
	set(&spec.Pool, ch.Pool)
	set(&spec.Rates, ch.Rates)
	set(&spec.Concurrency, ch.Concurrency)
	set(&spec.DebtMax, ch.DebtMax)
	set(&spec.Limits, ch.Limits)
	set(&spec.Key, ch.Key)
	spec.except(ch.Exceptions)
	if err := checkFor(ch.For, ch.Rates); err != nil {
		return err
	}
	set(&spec.Timeout, ch.Timeout)
	set(&spec.Retry.MaxAttempts, ch.MaxAttempts)
	set(&spec.Retry.Min, ch.RetryMin)
	set(&spec.Retry.Max, ch.RetryMax)
	set(&spec.Retry.Jitter, ch.Jitter)
	set(&spec.History, ch.History)
	set(&spec.Paused, ch.Paused)
	set(&spec.ExpireAfter, ch.ExpireAfter)
	set(&spec.MaxLength, ch.MaxLength)
	check := spec
	check.LimitSpec.Rates = q.Rates
	if check.LimitSpec, err = check.LimitSpec.changed(q.Bucket, ch.Rates, ch.For); err == nil {
		err = check.Validate()
	}
	if err != nil {
		return err
	}
	// only what the caller changes is written: two updates at once do not undo each other
	changed := differences(q.QueueSpec, spec)
	if ch.Rates != nil && !slices.Contains(changed, any("rate")) {
		changed = append(changed, "rate", ch.Rates.Stored()) // for a while, or back for good
	}
	what := ch.words(fmt.Sprintf("queue %q: ", name), changed)
	args := append([]any{"update", name, "", cmp.Or(ch.By, byProgram), what, ch.For.Microseconds()}, changed...)
	reply, err := c.run(ctx, defineScript, args...)
	for try := 0; err == nil && reply[0] == int64(-4) && try < countTries; try++ {
		if err = c.countPlaces(ctx, name); err == nil {
			reply, err = c.run(ctx, defineScript, args...)
		}
	}
	if err != nil {
		return fmt.Errorf("update queue %q: %w", name, err)
	}
	if err := c.refusedDefine(ctx, name, reply); err != nil {
		return err
	}
	if reply[0].(int64) == 0 {
		return c.unknownQueue(ctx, name)
	}
	return nil
}

// except sets and removes exceptions, in a map of its own.
func (s *QueueSpec) except(change map[string]*KeyRule) {
	if len(change) == 0 {
		return
	}
	all := maps.Clone(s.Exceptions)
	if all == nil {
		all = make(map[string]KeyRule)
	}
	for key, r := range change {
		if r == nil {
			delete(all, key)
		} else {
			all[key] = *r
		}
	}
	s.Exceptions = all
}

// differences are the fields that make after of before; an exception that is gone is "".
func differences(before, after QueueSpec) []any {
	old := make(map[any]any)
	f := before.fields()
	for i := 0; i < len(f); i += 2 {
		old[f[i]] = f[i+1]
	}
	var out []any
	f = after.fields()
	for i := 0; i < len(f); i += 2 {
		if old[f[i]] != f[i+1] {
			out = append(out, f[i], f[i+1])
		}
		delete(old, f[i])
	}
	gone := make(map[string]bool)
	for k := range old {
		gone[k.(string)] = true
	}
	for _, k := range sortedKeys(gone) {
		out = append(out, k, "")
	}
	return out
}

// countTries is how often a count of places is begun again when another client has changed
// the queue meanwhile.
const countTries = 5

// errUncounted is that of a definition before which places have to be counted.
var errUncounted = conflictf(ErrConflict, "its keys get a cap, and it was changed again and again meanwhile: try again")

// countPlaces gives what runs of a queue places of its keys' caps, before keys that had none
// get one: a part of a worker's leases in each call.
func (c *Client) countPlaces(ctx context.Context, name string) error {
	err := func() error {
		begun, err := c.run(ctx, countScript, name, "begin")
		if err != nil || len(begun) == 0 {
			return err
		}
		for _, worker := range begun[1:] {
			next := []any{"0"}
			for more := true; more; more = len(next) > 0 && next[0] != "0" {
				if next, err = c.run(ctx, countScript, name, "leases", worker, next[0]); err != nil {
					return err
				}
			}
		}
		_, err = c.run(ctx, countScript, name, "end", begun[0])
		return err
	}()
	if err != nil {
		return fmt.Errorf("count what the keys of queue %q run: %w", name, err)
	}
	return nil
}

// refusedDefine is the error of a definition that the limits do not allow.
func (c *Client) refusedDefine(ctx context.Context, name string, reply []any) error {
	switch reply[0].(int64) {
	case -2:
		return c.unknownLimit(ctx, reply[1].(string))
	case -3:
		return conflictf(ErrConflict, "queue %q holds %d tasks, dead ones included; bounds for keys can be put on or taken off only while it holds none", name, reply[1].(int64))
	case -4:
		return fmt.Errorf("queue %q: %w", name, errUncounted)
	}
	return nil
}

func set[T any](field *T, v *T) {
	if v != nil {
		*field = *v
	}
}

// Pause lets no further task of the queue start; running ones finish, new ones are
// taken in. What was granted ahead still starts, within the look-ahead.
func (c *Client) Pause(ctx context.Context, name string) error { return c.hold(ctx, name, true) }

// Resume undoes Pause.
func (c *Client) Resume(ctx context.Context, name string) error { return c.hold(ctx, name, false) }

func (c *Client) hold(ctx context.Context, name string, paused bool) error {
	reply, err := c.run(ctx, defineScript, "update", name, "", "", "", 0, "paused", flag(paused))
	if err != nil {
		return fmt.Errorf("pause or resume queue %q: %w", name, err)
	}
	if reply[0].(int64) == 0 {
		return c.unknownQueue(ctx, name)
	}
	return nil
}

// Purge drops the waiting and scheduled tasks of a queue, in chunks, and returns how
// many. Tasks that come in meanwhile may go too.
func (c *Client) Purge(ctx context.Context, name string) (int64, error) {
	return c.purge(throughout(ctx), name, "waiting", "scheduled")
}

// Step gives the next call of a deed that takes many its context, or the error that ends the
// deed.
type Step func() (context.Context, error)

// throughout gives all calls one context.
func throughout(ctx context.Context) Step {
	return func() (context.Context, error) { return ctx, nil }
}

func (c *Client) purge(step Step, name string, states ...any) (int64, error) {
	var total int64
	for {
		ctx, err := step()
		if err != nil {
			return total, err
		}
		reply, err := c.run(ctx, purgeScript, append([]any{name, 500}, states...)...)
		if err != nil {
			return total, fmt.Errorf("purge queue %q: %w", name, err)
		}
		if reply[0].(int64) == 0 {
			return total, c.unknownQueue(ctx, name)
		}
		dropped, seen, left := reply[1].(int64), reply[2].(int64), reply[3].(int64)
		total += dropped
		if left <= 0 || seen == 0 {
			return total, nil
		}
	}
}

// notRemoved has a queue whose removal broke off go on as before, and says what is lost.
func (c *Client) notRemoved(q Queue, force bool, dropped int64, err error) error {
	if dropped > 0 {
		err = fmt.Errorf("%w (%d of its tasks, those that had ended among them, are dropped)", err, dropped)
	}
	if !force || q.Paused {
		return err
	}
	resuming, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	again := c.Resume(resuming, q.Name)
	var gone *NotFoundError
	switch {
	case errors.As(again, &gone):
		return nil // the reply was lost, the queue is removed
	case again != nil:
		return fmt.Errorf("%w; it may be left paused", err)
	}
	return err
}

// RemoveQueue removes a queue with its history. One that holds tasks is a
// *NotEmptyError unless force; one that a file declares is an *OwnedError always. A removal
// that breaks off half way says how much is dropped; the queue goes on with the rest.
func (c *Client) RemoveQueue(ctx context.Context, name string, force bool) error {
	return c.RemoveQueueInSteps(throughout(ctx), name, force)
}

// RemoveQueueInSteps is RemoveQueue for a queue of many tasks: 500 of them are a step.
func (c *Client) RemoveQueueInSteps(step Step, name string, force bool) error {
	ctx, err := step()
	if err != nil {
		return err
	}
	q, err := c.Queue(ctx, name)
	if err != nil {
		return err
	}
	if q.Owner != "" && !q.Undeclared {
		return &OwnedError{Queue: name, Owner: q.Owner}
	}
	if !force && q.Waiting+q.Scheduled+q.Running+q.Dead > 0 {
		return &NotEmptyError{Queue: name, Waiting: q.Waiting, Scheduled: q.Scheduled, Running: q.Running, Dead: q.Dead}
	}
	states := []any{"ended"}
	if force {
		// only now: a queue that is not empty any more and stays must go on as it was
		if err := c.Pause(ctx, name); err != nil {
			return c.notRemoved(q, force, 0, err)
		}
		states = []any{"waiting", "scheduled", "dead", "ended"}
	}
	dropped, err := c.purge(step, name, states...)
	if err == nil {
		ctx, err = step()
	}
	if err != nil {
		return c.notRemoved(q, force, dropped, err)
	}
	reply, err := c.run(ctx, removeScript, name, flag(force))
	if err != nil {
		return c.notRemoved(q, force, dropped, fmt.Errorf("remove queue %q: %w", name, err))
	}
	if reply[0].(int64) < 0 && !q.Paused {
		if err := c.Resume(ctx, name); err != nil { // it stays, as it was
			return err
		}
	}
	switch reply[0].(int64) {
	case 0:
		return c.unknownQueue(ctx, name)
	case -1:
		return &OwnedError{Queue: name, Owner: reply[1].(string)}
	case -2:
		n := func(i int) int64 { return reply[i].(int64) }
		return &NotEmptyError{Queue: name, Waiting: n(1), Scheduled: n(2), Running: n(3), Dead: n(4)}
	}
	return nil
}
