package scheduler

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/throttlerd/throttlerd/ratelimit"
)

// DefaultNamespace is used where none is given.
const DefaultNamespace = "throttle"

// Client submits, inspects and controls in one namespace. It is safe for concurrent
// use. Calls that change something are sent once: after an *UnreachableError it is
// unknown whether they took effect; a submit with an own id may be repeated.
type Client struct {
	rdb       redis.UniversalClient
	namespace string
	keys      keys
	max       int       // payload
	own       io.Closer // the connection, where Open made it
}

// Options of a Client; the zero value is good.
type Options struct {
	Namespace  string // DefaultNamespace when empty
	MaxPayload int    // bytes that Submit takes; DefaultMaxPayload when 0, at most HardMaxPayload

	Redis RedisOptions // where Open connects to; New is given its connection
}

// New returns a client on a connection that the caller closes. Most programs use Open,
// which makes its own. Dial makes a fitting one; one that repeats calls by itself (MaxRetries other than -1) is refused, since a
// call whose reply was lost would take effect twice.
func New(rdb redis.UniversalClient, o Options) (*Client, error) {
	if o.Namespace == "" {
		o.Namespace = DefaultNamespace
	}
	if o.MaxPayload <= 0 {
		o.MaxPayload = DefaultMaxPayload
	}
	if err := CheckName("namespace", o.Namespace); err != nil {
		return nil, err
	}
	if repeats(rdb) {
		return nil, &InvalidError{What: "redis client", Reason: "repeats calls by itself: make it with MaxRetries: -1, or with scheduler.Dial"}
	}
	return &Client{rdb: rdb, namespace: o.Namespace, keys: newKeys(o.Namespace), max: min(o.MaxPayload, HardMaxPayload)}, nil
}

// repeats tells whether the connection sends a call again that got no answer. The
// options of a client that was made say 0 for never.
func repeats(rdb redis.UniversalClient) bool {
	switch c := rdb.(type) {
	case *redis.Client:
		return c.Options().MaxRetries > 0
	case *redis.ClusterClient:
		return c.Options().MaxRetries > 0
	}
	return false
}

// Namespace is the one this client works in.
func (c *Client) Namespace() string { return c.namespace }

var ownIDForm = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// CheckName refuses what cannot name a queue, pool, handler or namespace.
func CheckName(kind, name string) error {
	if ratelimit.ValidName(name) {
		return nil
	}
	return &InvalidError{What: kind, Reason: fmt.Sprintf("%q is not a name: 1 to 64 of a-z 0-9 _ . - and a letter or digit first", name)}
}

// WaitReady returns when Redis answers, or with an *UnreachableError when it does not
// before the context ends. A server that loads its data is waited for.
func (c *Client) WaitReady(ctx context.Context) error {
	pause := 10 * time.Millisecond
	var cause error // of the last try that was not cut short by the context
	for {
		err := c.rdb.Ping(ctx).Err()
		if err == nil {
			return nil
		}
		if redisError(err) == err && ctx.Err() == nil {
			return err // it answered, and would answer the same again
		}
		if cause == nil || ctx.Err() == nil {
			cause = err
		}
		select {
		case <-ctx.Done():
			return &UnreachableError{Err: cause}
		case <-time.After(pause):
			pause = min(2*pause, 500*time.Millisecond)
		}
	}
}

func (c *Client) run(ctx context.Context, s *script, args ...any) ([]any, error) {
	return s.run(ctx, c.rdb, c.keys, args...)
}
