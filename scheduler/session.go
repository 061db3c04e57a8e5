package scheduler

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Session is one worker's lease. Exchange and Take are called by one goroutine at a time; all
// else may run beside it.
type Session struct {
	c      *Client
	lease  time.Duration
	claims claims

	mu    sync.Mutex
	w     Worker
	known bool // registered once
}

// Register makes the worker known and gives it a lease. The id must be new.
func (c *Client) Register(ctx context.Context, w Worker) (*Session, error) {
	s := &Session{c: c, w: w, lease: w.Lease}
	if err := s.Announce(ctx, func(*Worker) {}); err != nil {
		return nil, err
	}
	return s, nil
}

// ID is the worker's.
func (s *Session) ID() string { return s.w.ID }

// Announce changes what the worker says of itself.
func (s *Session) Announce(ctx context.Context, change func(*Worker)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.w)
	fields, err := s.w.fields()
	if err != nil {
		return err
	}
	args := append([]any{s.w.ID, s.lease.Microseconds(), flag(s.known)}, fields...)
	asked := time.Now()
	reply, err := s.c.run(ctx, registerScript, args...)
	if err != nil {
		return fmt.Errorf("register worker %q: %w", s.w.ID, err)
	}
	if reply[0].(int64) == 0 {
		return fmt.Errorf("register worker %q: %w", s.w.ID, ErrLeaseLost)
	}
	s.known = true
	s.claims.renewed(asked.Add(s.lease))
	return nil
}

// Indexes returns every pool:handler that a queue has or had.
func (s *Session) Indexes(ctx context.Context) ([]string, error) {
	v, err := s.c.rdb.SMembers(ctx, s.c.keys.indexes()).Result()
	return v, redisError(err)
}

// Slots is a due index, "pool:handler", with the free slots of its handler.
type Slots struct {
	Index string
	Free  int
}

// Beat is what a tick found.
type Beat struct {
	Reaped int      // tasks taken back from a dead worker
	More   bool     // there is more to be taken back, by the next tick
	Stops  []string // internal ids of own tasks that somebody wants cancelled
	Claim  bool     // there is work that nobody was told of
	Behind bool     // a task was handed over of which this worker has not heard: any claim gives it
	Leases int      // tasks that are leased to this worker

	// Restarts are, by handler, the last requests to restart its plugin.
	Restarts map[string]string
}

// maxReap is the most tasks that one call takes back.
const maxReap = 100

// Tick renews the lease and does a share of the housekeeping. It is due once a
// second. ErrLeaseLost: the worker has been reaped, its tasks are no longer its own.
func (s *Session) Tick(ctx context.Context, slots []Slots) (Beat, error) {
	args := make([]any, 0, 2+2*len(slots))
	args = append(args, s.w.ID, maxReap)
	for _, f := range slots {
		args = append(args, f.Index, f.Free)
	}
	asked := time.Now()
	reply, err := s.c.run(ctx, tickScript, args...)
	if err != nil {
		return Beat{}, fmt.Errorf("renew lease of worker %q: %w", s.w.ID, err)
	}
	if reply[0].(int64) == 0 {
		return Beat{}, fmt.Errorf("worker %q: %w", s.w.ID, ErrLeaseLost)
	}
	s.claims.renewed(asked.Add(s.lease))
	b := Beat{Reaped: int(reply[2].(int64)), Behind: s.claims.behind(reply[6].(int64)), Leases: int(reply[7].(int64)), More: reply[8].(int64) == 1}
	for _, id := range reply[3].([]any) {
		b.Stops = append(b.Stops, id.(string))
	}
	for _, v := range reply[4].([]any) {
		b.Claim = b.Claim || v.(int64) == 1
	}
	b.Restarts = parseRestarts(reply[5].(string))
	return b, nil
}

// Disown notes that a lease is given back unseen: Take does not return it any more.
func (s *Session) Disown(fence int64) { s.claims.forget(fence) }

// Quiet makes it known that this worker drains, and stops its waking: it will claim no more,
// nor is anything handed over to it. It tells, as a Beat does, whether it is behind.
func (s *Session) Quiet(ctx context.Context) (behind bool, err error) {
	s.mu.Lock()
	s.w.Draining = true
	s.mu.Unlock()
	reply, err := s.c.run(ctx, leaveScript, s.w.ID, 0)
	if err != nil {
		return false, fmt.Errorf("end the waking of worker %q: %w", s.w.ID, err)
	}
	return s.claims.behind(reply[1].(int64)), nil
}

// Leave gives back every task that is not settled, to the front of its queue and
// uncharged, and ends the lease.
func (s *Session) Leave(ctx context.Context) error {
	for {
		reply, err := s.c.run(ctx, leaveScript, s.w.ID, maxReap)
		if err != nil {
			return fmt.Errorf("leave as worker %q: %w", s.w.ID, err)
		}
		if reply[0].(int64) == 0 {
			return nil
		}
	}
}

// Signal is what reached a worker: a task to stop, one that its submit has leased to it, a
// hint to tick, or else to claim.
type Signal struct {
	Stop   string // internal id
	Handed *Handed
	Tick   bool
}

// Handed is a task that its submit has leased to this worker, for [Session.Take].
type Handed struct {
	text     string
	received time.Time
}

// listenTime bounds the wait for a subscription.
const listenTime = 5 * time.Second

// Listen passes signals to f until the context ends. It returns once the
// subscription stands, and an error when it cannot within 5 s; a lost connection is taken up
// again by itself. Each may be lost: a task that was handed over comes with the next claim
// then.
func (s *Session) Listen(ctx context.Context, f func(Signal)) error {
	ps := s.c.rdb.Subscribe(ctx, s.c.keys.wake(s.w.ID))
	if _, err := ps.ReceiveTimeout(ctx, listenTime); err != nil {
		ps.Close()
		return fmt.Errorf("listen as worker %q: %w", s.w.ID, redisError(err))
	}
	ch := ps.Channel(redis.WithChannelHealthCheckInterval(10 * time.Second))
	go func() {
		defer ps.Close()
		for {
			select {
			case <-ctx.Done():
				return
			case m, ok := <-ch:
				if !ok {
					return
				}
				switch verb, rest, _ := strings.Cut(m.Payload, " "); verb {
				case "stop":
					f(Signal{Stop: rest})
				case "task":
					f(Signal{Handed: &Handed{text: rest, received: time.Now()}})
				default:
					f(Signal{Tick: verb == "tick"})
				}
			}
		}
	}()
	return nil
}
