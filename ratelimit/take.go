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
// After any other error it is not known whether the tokens were taken.
func (l *Limiter) Take(ctx context.Context, name string, n int64) (Decision, error) {
	if !ValidName(name) {
		return Decision{}, badName("limit", name)
	}
	if n < 1 || n > MaxCount {
		return Decision{}, fmt.Errorf("take %d from limit %q: the number must be 1 to %d", n, name, MaxCount)
	}
	v, err := takeScript.run(ctx, l.rdb, []string{l.key(name), l.clockKey()}, n).Int64Slice()
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
	Rate Rate
	Left int64 // whole tokens; negative when more was taken ahead
	// Tokens is the level with its fraction, for display.
	Tokens float64
	// NextIn is how long until one more whole token is there, 0 for a full bucket.
	NextIn time.Duration
	At     time.Time // the instant of the look, by the namespace's clock
}

// Peek looks at a limit and changes nothing. A limit that was never set is a
// [*UnknownLimitError].
func (l *Limiter) Peek(ctx context.Context, name string) (State, error) {
	if !ValidName(name) {
		return State{}, badName("limit", name)
	}
	v, err := peekScript.run(ctx, l.rdb, []string{l.key(name), l.clockKey()}).Int64Slice()
	if err == nil && len(v) != 6 && !isUnknown(v) {
		err = fmt.Errorf("unexpected reply %v", v)
	}
	switch {
	case err != nil:
		return State{}, fmt.Errorf("peek at limit %q: %w", name, err)
	case isUnknown(v):
		return State{}, l.unknown(ctx, name)
	}
	r := Rate{N: v[0], Period: time.Duration(v[1]) * time.Microsecond, Burst: v[2]}
	b, now := Bucket{FullAt: v[3], Rem: v[4]}, v[5]
	s := State{Rate: r, Left: b.Left(r, now), Tokens: b.Tokens(r, now), At: time.UnixMicro(now)}
	if s.Left < r.Burst {
		next := max(s.Left, 0) + 1
		s.NextIn = time.Duration(b.At(r, next)-now) * time.Microsecond
	}
	return s, nil
}

// isUnknown reports whether a script found no such limit.
func isUnknown(v []int64) bool { return len(v) == 1 && v[0] == -1 }
