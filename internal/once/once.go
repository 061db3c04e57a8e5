// Package once holds commands that the Redis client never sends again by itself: after a
// lost reply nobody knows whether a script ran, so a second run might take effect twice.
// On a cluster they still follow MOVED and ASK, which say that nothing ran.
package once

import (
	"context"

	"github.com/redis/go-redis/v9"
)

type command struct{ *redis.Cmd }

func (command) NoRetry() bool { return true }

func (c command) Clone() redis.Cmder { return command{c.Cmd.Clone().(*redis.Cmd)} }

// Process is what sends a command, or keeps it for later: a client or a pipeline.
type Process interface {
	Process(ctx context.Context, cmd redis.Cmder) error
}

// Do sends EVAL or EVALSHA with one key, or puts it into a pipeline.
func Do(ctx context.Context, to Process, args ...any) *redis.Cmd {
	cmd := redis.NewCmd(ctx, args...)
	cmd.SetFirstKeyPos(3) // where Cluster finds the slot
	if err := to.Process(ctx, command{cmd}); err != nil {
		cmd.SetErr(err)
	}
	return cmd
}
