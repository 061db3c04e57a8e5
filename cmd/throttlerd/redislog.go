package main

import (
	"context"
	"fmt"

	"github.com/hashicorp/go-hclog"
	"github.com/redis/go-redis/v9"
)

// redisLog is where the Redis client says what it does about broken connections, which
// it would print to stderr past the log, its level and its format.
type redisLog struct{ log hclog.Logger }

func (l redisLog) Printf(_ context.Context, format string, v ...any) {
	l.log.Debug("redis client", "says", fmt.Sprintf(format, v...))
}

func setRedisLog(log hclog.Logger) { redis.SetLogger(redisLog{log}) }
