package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// DefaultNamespace is the namespace where none is named.
const DefaultNamespace = "throttle"

// Options of a [Limiter].
type Options struct {
	// Namespace sets limits of the same name apart, and is the hash tag of every key,
	// so that scripts are legal on Redis Cluster. Default DefaultNamespace.
	Namespace string
}

// Limiter keeps named limits in Redis, for any number of programs on any number of
// machines. A limit is defined once by [Limiter.Set] and is kept until it is removed; no
// key of it expires. The clock is that of Redis, so the machines' clocks do not matter,
// and it never runs backwards: when Redis's does, it goes on from where it was.
//
// A Limiter is safe for concurrent use, and keeps no state of a limit. It never sends a
// script twice: when a reply is lost, its caller gets the error, and may have taken the
// tokens. Without Redis every method fails, so nothing is granted.
type Limiter struct {
	rdb       redis.UniversalClient
	namespace string
	takes     gatherer
}

// NewLimiter returns a Limiter over rdb, which stays the caller's to close.
func NewLimiter(rdb redis.UniversalClient, opts Options) (*Limiter, error) {
	if opts.Namespace == "" {
		opts.Namespace = DefaultNamespace
	}
	if !ValidName(opts.Namespace) {
		return nil, badName("namespace", opts.Namespace)
	}
	return &Limiter{rdb: rdb, namespace: opts.Namespace}, nil
}

// UnknownLimitError is what every method but Set answers for a limit that was not
// defined.
type UnknownLimitError struct {
	Name, Namespace string
	Nearest         string // the defined name that was likely meant, or ""
}

func (e *UnknownLimitError) Error() string {
	s := fmt.Sprintf("no limit %q in namespace %q", e.Name, e.Namespace)
	if e.Nearest != "" {
		s += fmt.Sprintf("; did you mean %q?", e.Nearest)
	}
	return s
}

// Set defines the limit name, with a full bucket, or changes its rate. A change takes
// effect at once and keeps the tokens there are, at most the new capacity: what
// accrued up to now accrued at the old rate, no token appears retroactively, and none
// is owed. To set the same rate again changes nothing. A limit that had several rates, or
// one for a while, has this one from now on.
func (l *Limiter) Set(ctx context.Context, name string, r Rate) error {
	if !ValidName(name) {
		return badName("limit", name)
	}
	if err := r.Validate(); err != nil {
		return fmt.Errorf("set limit %q: %w", name, err)
	}
	if err := setScript.run(ctx, l.rdb, l.clockKey(), "set", name, "", "", "", 0, "rate", Rates{r}.Stored()).Err(); err != nil {
		return fmt.Errorf("set limit %q: %w", name, err)
	}
	return nil
}

// Reset makes the bucket of a limit full, whatever was taken: what it grants next may
// come on top of all that it granted before.
func (l *Limiter) Reset(ctx context.Context, name string) error {
	if !ValidName(name) {
		return badName("limit", name)
	}
	n, err := resetScript.run(ctx, l.rdb, l.clockKey(), name, "", "").Int64()
	return l.outcome(ctx, "reset", name, n, err)
}

// Remove removes a limit with its bucket. Set again, it begins full. One that queues name,
// that running tasks hold places of or that a file declares is an [ErrInUse].
func (l *Limiter) Remove(ctx context.Context, name string) error {
	if !ValidName(name) {
		return badName("limit", name)
	}
	v, err := removeScript.run(ctx, l.rdb, l.clockKey(), name, "", "").Slice()
	if err != nil {
		return fmt.Errorf("remove limit %q: %w", name, err)
	}
	switch n, _ := v[0].(int64); n {
	case -2, -3:
		return fmt.Errorf("remove limit %q: %w", name, ErrInUse)
	default:
		return l.outcome(ctx, "remove", name, n, nil)
	}
}

// Names returns the names of all limits, sorted.
func (l *Limiter) Names(ctx context.Context) ([]string, error) {
	names, err := l.rdb.ZRange(ctx, l.indexKey(), 0, -1).Result()
	if err != nil {
		return nil, fmt.Errorf("list limits of namespace %q: %w", l.namespace, err)
	}
	return names, nil
}

// outcome turns a script's integer, -1 for an unknown limit, into an error.
func (l *Limiter) outcome(ctx context.Context, verb, name string, n int64, err error) error {
	switch {
	case err != nil:
		return fmt.Errorf("%s limit %q: %w", verb, name, err)
	case n == -1:
		return l.unknown(ctx, name)
	}
	return nil
}

// nearestAmong bounds the names that are read to make an error friendlier.
const nearestAmong = 10_000

func (l *Limiter) unknown(ctx context.Context, name string) error {
	// An error here only costs the suggestion.
	names, _ := l.rdb.ZRange(ctx, l.indexKey(), 0, nearestAmong-1).Result()
	return &UnknownLimitError{Name: name, Namespace: l.namespace, Nearest: Nearest(name, names)}
}

func (l *Limiter) indexKey() string { return "{" + l.namespace + "}:l" }

func (l *Limiter) clockKey() string { return "{" + l.namespace + "}:clock" }

// ErrInUse refuses to remove a limit that queues, running tasks or a file still name.
var ErrInUse = errors.New("it is in use by queues, running tasks or a file")

// ErrBadName is in every error for a name that [ValidName] refuses.
var ErrBadName = errors.New("bad name")

func badName(kind, name string) error {
	return fmt.Errorf("%w: %s %s must be 1 to 64 of a-z, 0-9, _, . and -, beginning with a letter or digit",
		ErrBadName, kind, clip(strings.ToValidUTF8(name, "?")))
}
