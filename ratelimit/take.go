package ratelimit

import (
	"context"
	"fmt"
	"time"
)

// Decision is the answer to a Take.
type Decision struct {
	Granted bool
	Left    int64         // whole tokens left; negative when more was taken ahead
	Wait    time.Duration // how long until the tokens are there, if nobody else takes any; 0 when granted
	At      time.Time     // the instant of the decision, by the namespace's clock
}

// CapacityError refuses a take of more than a bucket can ever hold.
type CapacityError struct {
	Name     string
	N        int64 // tokens asked for
	Capacity int64
}

func (e *CapacityError) Error() string {
	return fmt.Sprintf("take %d from limit %q: its capacity is %d, so it never holds more; take %d at most, or raise its burst",
		e.N, e.Name, e.Capacity, e.Capacity)
}

// Take takes n tokens from the limit name, all or nothing, and returns at once either
// way. Grants keep the rate exactly, for every window of time (see [Check]). A limit that was
// never set is a [*UnknownLimitError], more than its capacity a [*CapacityError].
// After any other error it is not known whether the tokens were taken. Takes that many
// goroutines make at once of one Limiter share round trips.
func (l *Limiter) Take(ctx context.Context, name string, n int64) (Decision, error) {
	if !ValidName(name) {
		return Decision{}, badName("limit", name)
	}
	if n < 1 || n > MaxCount {
		return Decision{}, fmt.Errorf("take %d from limit %q: the number must be 1 to %d", n, name, MaxCount)
	}
	v, err := l.decide(ctx, name, n)
	if err == nil && len(v) != 5 && !isUnknown(v) {
		err = fmt.Errorf("unexpected reply %v", v)
	}
	switch {
	case err != nil:
		return Decision{}, fmt.Errorf("take %d from limit %q: %w", n, name, err)
	case isUnknown(v):
		return Decision{}, l.unknown(ctx, name)
	case v[2] == -1:
		return Decision{}, &CapacityError{Name: name, N: n, Capacity: v[4]}
	}
	return Decision{
		Granted: v[0] == 1,
		Left:    v[1],
		Wait:    time.Duration(v[2]) * time.Microsecond,
		At:      time.UnixMicro(v[3]),
	}, nil
}

// State is a limit as it stands.
type State struct {
	Rates Rates // in force; none for a limit that has only a cap
	Left  int64 // whole tokens, the least of its rates; negative when more was taken ahead
	// Tokens is the level with its fraction, for display.
	Tokens float64
	// NextIn is how long until one more whole token is there, 0 for full buckets.
	NextIn      time.Duration
	FrozenUntil time.Time // zero unless an upstream's slow-down is in force
	At          time.Time // the instant of the look, by the namespace's clock
}

// Peek looks at a limit and changes nothing. A limit that was never set is a
// [*UnknownLimitError].
func (l *Limiter) Peek(ctx context.Context, name string) (State, error) {
	if !ValidName(name) {
		return State{}, badName("limit", name)
	}
	v, err := peekScript.run(ctx, l.rdb, l.clockKey(), name).Slice()
	if err != nil {
		return State{}, fmt.Errorf("peek at limit %q: %w", name, err)
	}
	now, _ := v[0].(int64)
	parts, _ := v[1].([]any)
	if len(parts) == 0 {
		return State{}, l.unknown(ctx, name)
	}
	flat, _ := parts[0].([]any)
	h := make(map[string]string, len(flat)/2)
	for i := 0; i+1 < len(flat); i += 2 {
		h[fmt.Sprint(flat[i])] = fmt.Sprint(flat[i+1])
	}
	b := ReadBuckets(h["rate"], h["bucket"], h["over"], h["frozen"])
	b.Bring(now)
	s := State{Rates: b.Rates, At: time.UnixMicro(now)}
	if b.Frozen > now {
		s.FrozenUntil = time.UnixMicro(b.Frozen)
	}
	if burst := b.Rates.Capacity(); burst > 0 {
		s.Left, s.Tokens = b.Left(now), b.Tokens(now)
		if s.Left < burst {
			s.NextIn = time.Duration(b.At(max(s.Left, 0)+1)-now) * time.Microsecond
		}
	}
	return s, nil
}

// isUnknown reports whether a script found no such limit.
func isUnknown(v []int64) bool { return len(v) == 1 && v[0] == -1 }
