package scheduler

import (
	"context"
	"crypto/sha1"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/throttlerd/throttlerd/ratelimit"
)

//go:embed lua/*.lua
var luaFiles embed.FS

// Each verb with the files it stands on, in their order.
var (
	queueParts = []string{"record", "cost", "key", "queue"}
	endParts   = append(queueParts[:4:4], "forget", "outcome")

	submitScript   = compose(queueParts, "standing", "submit")
	claimScript    = compose(queueParts, "supply", "turns", "claim")
	settleScript   = compose(endParts, "settle")
	tickScript     = compose(endParts, "reap", "discard", "expire", "tick")
	leaveScript    = compose(endParts, "reap", "leave")
	registerScript = compose(nil, "register")
	restartScript  = compose(nil, "restart")
	defineScript   = compose(queueParts, "define")
	purgeScript    = compose(queueParts, "forget", "purge")
	removeScript   = compose(queueParts, "forget", "discard", "remove")
	cancelScript   = compose(endParts, "find", "cancel")
	retryScript    = compose(queueParts, "find", "retry")
	dropScript     = compose([]string{"record", "forget"}, "drop")
	inspectScript  = compose(queueParts, "find", "standing", "inspect")
	showScript     = compose(queueParts, "standing", "show")

	// the verbs on named limits are ratelimit's
	setLimitScript    = composeLimit("set limit", ratelimit.SetLua)
	resetLimitScript  = composeLimit("reset limit", ratelimit.ResetLua)
	removeLimitScript = composeLimit("remove limit", ratelimit.RemoveLua)
	peekLimitScript   = composeLimit("show limit", ratelimit.PeekLua)
)

const (
	maxFreeze    = 24 * time.Hour // of a queue, by a throttled task
	maxThrottles = 100            // of one task, before it counts as a failed attempt
	maxQueues    = 32             // that one claim looks at in an index, and serves at limits
)

// script is one verb: its whole source, and the hash Redis knows it by.
type script struct {
	name, src, sha string
}

// compose puts a verb's files together: clock, buckets and limits from ratelimit, the key
// names, then the files in order.
func compose(parts []string, files ...string) *script {
	var body strings.Builder
	for _, f := range append(parts[:len(parts):len(parts)], files...) {
		src, err := luaFiles.ReadFile("lua/" + f + ".lua")
		if err != nil {
			panic(err) // embedded: cannot be missing in a program that was tested
		}
		body.Write(src)
	}
	src := body.String()
	if strings.Contains(src, "load_queue") {
		src = ratelimit.BucketLua + ratelimit.LimitLua + src
	}
	src = fmt.Sprintf("local MAX_FREEZE, MAX_THROTTLES, MAX_QUEUES = %d, %d, %d\n", maxFreeze.Microseconds(), maxThrottles, maxQueues) + src
	return finish(files[len(files)-1], src)
}

func composeLimit(name, verb string) *script {
	return finish(name, ratelimit.BucketLua+ratelimit.LimitLua+verb)
}

func finish(name, src string) *script {
	src = ratelimit.LuaKeys(src, keyParts) + ratelimit.ClockLua + src
	sum := sha1.Sum([]byte(src))
	return &script{name: name, src: src, sha: hex.EncodeToString(sum[:])}
}

// evalsha is the command for one call of the script.
func (s *script) evalsha(k keys, args []any) []any {
	cmd := make([]any, 0, len(args)+4)
	cmd = append(cmd, "evalsha", s.sha, 1, k.clock())
	return append(cmd, args...)
}

// run calls the script once. A server that does not know it yet is given it: that
// call changed nothing. No other call is repeated here.
func (s *script) run(ctx context.Context, rdb redis.UniversalClient, k keys, args ...any) ([]any, error) {
	cmd := s.evalsha(k, args)
	v, err := rdb.Do(ctx, cmd...).Result()
	if isNoScript(err) {
		cmd[0], cmd[1] = "eval", s.src
		v, err = rdb.Do(ctx, cmd...).Result()
	}
	if err != nil {
		return nil, redisError(err)
	}
	if list, ok := v.([]any); ok {
		return list, nil
	}
	return []any{v}, nil
}

// runEach makes many calls of the script in one round trip, each a step of its own: the
// replies of those that went well come back with the first error.
func (s *script) runEach(ctx context.Context, rdb redis.UniversalClient, k keys, calls [][]any) ([][]any, error) {
	if len(calls) == 0 {
		return nil, nil
	}
	first, err := s.run(ctx, rdb, k, calls[0]...) // after it the server knows the script
	if err != nil {
		return nil, err
	}
	replies := append(make([][]any, 0, len(calls)), first)
	cmds, _ := rdb.Pipelined(ctx, func(p redis.Pipeliner) error { // each command has its error
		for _, args := range calls[1:] {
			p.Do(ctx, s.evalsha(k, args)...)
		}
		return nil
	})
	for _, cmd := range cmds {
		v, cerr := cmd.(*redis.Cmd).Result()
		if cerr != nil {
			if err == nil {
				err = redisError(cerr)
			}
			continue
		}
		list, ok := v.([]any)
		if !ok {
			list = []any{v}
		}
		replies = append(replies, list)
	}
	return replies, err
}

func isNoScript(err error) bool {
	return err != nil && strings.HasPrefix(err.Error(), "NOSCRIPT")
}

// IsLoading tells the replies of a server that is about to be ready (LOADING, BUSY):
// the command has changed nothing.
func IsLoading(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply) && (strings.HasPrefix(reply.Error(), "LOADING") || strings.HasPrefix(reply.Error(), "BUSY "))
}

// redisError marks the errors that mean that no Redis answered.
func redisError(err error) error {
	var reply redis.Error
	if err == nil || (errors.As(err, &reply) && !IsLoading(err)) {
		return err
	}
	return &UnreachableError{Err: err}
}
