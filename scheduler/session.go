package scheduler

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Session is one worker's lease. Exchange is called by one goroutine at a time; Tick,
// Announce and Leave may run beside it.
type Session struct {
	c      *Client
	lease  time.Duration
	claim  int64 // the number of the last claim
	asking bool  // its reply has not been seen

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
	reply, err := s.c.run(ctx, registerScript, args...)
	if err != nil {
		return fmt.Errorf("register worker %q: %w", s.w.ID, err)
	}
	if reply[0].(int64) == 0 {
		return fmt.Errorf("register worker %q: %w", s.w.ID, ErrLeaseLost)
	}
	s.known = true
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
	Reaped int      // tasks taken back from dead workers
	Stops  []string // internal ids of own tasks that somebody wants cancelled
	Claim  bool     // there is work that nobody was told of

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
	reply, err := s.c.run(ctx, tickScript, args...)
	if err != nil {
		return Beat{}, fmt.Errorf("renew lease of worker %q: %w", s.w.ID, err)
	}
	if reply[0].(int64) == 0 {
		return Beat{}, fmt.Errorf("worker %q: %w", s.w.ID, ErrLeaseLost)
	}
	b := Beat{Reaped: int(reply[2].(int64))}
	for _, id := range reply[3].([]any) {
		b.Stops = append(b.Stops, id.(string))
	}
	for _, v := range reply[4].([]any) {
		b.Claim = b.Claim || v.(int64) == 1
	}
	b.Restarts = parseRestarts(reply[5].(string))
	return b, nil
}

// Quiet stops the waking of this worker: it will claim no more.
func (s *Session) Quiet(ctx context.Context) error {
	_, err := s.c.run(ctx, leaveScript, s.w.ID, 0)
	return err
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

// Signal is a hint that reached a worker: to stop a task, to tick, or else to claim.
type Signal struct {
	Stop string // internal id
	Tick bool
}

// Listen passes signals to f until the context ends. It returns once the
// subscription stands, and an error when it cannot; a lost connection is taken up
// again by itself. Signals are hints: each may be lost.
func (s *Session) Listen(ctx context.Context, f func(Signal)) error {
	ps := s.c.rdb.Subscribe(ctx, s.c.keys.wake(s.w.ID))
	if _, err := ps.Receive(ctx); err != nil {
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
				id, stop := strings.CutPrefix(m.Payload, "stop ")
				if !stop {
					id = ""
				}
				f(Signal{Stop: id, Tick: m.Payload == "tick"})
			}
		}
	}()
	return nil
}
