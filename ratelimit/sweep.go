package ratelimit

import (
	"context"
	"fmt"
)

// sweepChunk bounds the limits that one call looks at, and so how long it holds Redis.
const sweepChunk = 100

// Sweep frees the memory of buckets that are full at the rate in force, of at most a
// hundred limits for one call: those after the name given, "" for the first. It returns the
// name to give to the next call, "" when all were looked at. Nothing is lost by it: a limit
// without a bucket is a limit with a full one, and stays defined.
func (l *Limiter) Sweep(ctx context.Context, after string) (next string, dropped int, err error) {
	v, err := sweepScript.run(ctx, l.rdb, l.clockKey(), after, sweepChunk).Slice()
	if err != nil {
		return "", 0, fmt.Errorf("sweep limits of namespace %q: %w", l.namespace, err)
	}
	if len(v) == 2 {
		n, okN := v[0].(int64)
		last, okLast := v[1].(string)
		if okN && okLast {
			return last, int(n), nil
		}
	}
	return "", 0, fmt.Errorf("sweep limits of namespace %q: unexpected reply %v", l.namespace, v)
}
