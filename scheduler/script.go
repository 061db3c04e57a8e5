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

	"github.com/throttlerd/throttlerd/internal/once"
	"github.com/throttlerd/throttlerd/ratelimit"
)

//go:embed lua/*.lua
var luaFiles embed.FS

// Each verb with the files it stands on, in their order.
var (
	queueParts = []string{"record", "cost", "key", "queue"}
	endParts   = append(queueParts[:4:4], "forget", "outcome")

	submitScript   = finish("submit", ratelimit.WakeLua+lua("submit_plain"), source(queueParts, "standing", "submit"))
	claimScript    = finish("claim", ratelimit.WakeLua+lua("next")+lua("begin")+lua("claim_plain"), source(queueParts, "claim_alone", "supply", "turns", "claim"))
	settleScript   = finish("settle", lua("settle_plain"), source(endParts, "settle"))
	tickScript     = compose(endParts, "next", "reap", "discard", "expire", "tick")
	leaveScript    = compose(endParts, "reap", "leave")
	registerScript = compose(nil, "register")
	restartScript  = compose(nil, "restart")
	defineScript   = compose(queueParts, "define")
	countScript    = compose(queueParts, "count")
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
	maxHanded    = 16 << 10       // bytes of a task that its submit hands to a worker
)

// script is one verb: its whole source, and the hash Redis knows it by.
type script struct {
	name, src, sha string
}

// compose makes a verb of its files.
func compose(parts []string, files ...string) *script {
	return finish(files[len(files)-1], "", source(parts, files...))
}

// source puts a verb's files together: buckets and limits from ratelimit, then the files in
// order.
func source(parts []string, files ...string) string {
	var body strings.Builder
	for _, f := range append(parts[:len(parts):len(parts)], files...) {
		body.WriteString(lua(f))
	}
	src := body.String()
	if strings.Contains(src, "load_queue") {
		src = ratelimit.BucketLua + ratelimit.WakeLua + ratelimit.LimitLua + src
	}
	return src
}

// lua is one file.
func lua(name string) string {
	src, err := luaFiles.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err) // embedded: cannot be missing in a program that was tested
	}
	return string(src)
}

func composeLimit(name, verb string) *script {
	return finish(name, "", ratelimit.BucketLua+ratelimit.WakeLua+ratelimit.LimitLua+verb)
}

// finish puts the clock in front, and then what answers alone when it can.
func finish(name, first, src string) *script {
	if strings.Contains(first, "wake_for") {
		src = strings.Replace(src, ratelimit.WakeLua, "", 1)
	}
	src = fmt.Sprintf("local MAX_FREEZE, MAX_THROTTLES, MAX_QUEUES, MAX_HANDED = %d, %d, %d, %d\n", maxFreeze.Microseconds(), maxThrottles, maxQueues, maxHanded) +
		ratelimit.LuaKeys(ratelimit.ClockLua+first+src, keyParts)
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
	v, err := once.Do(ctx, rdb, cmd...).Result()
	if isNoScript(err) {
		cmd[0], cmd[1] = "eval", s.src
		v, err = once.Do(ctx, rdb, cmd...).Result()
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
	pipe := rdb.Pipeline()
	var cmds []*redis.Cmd
	for _, args := range calls[1:] {
		cmds = append(cmds, once.Do(ctx, pipe, s.evalsha(k, args)...))
	}
	_, _ = pipe.Exec(ctx) // each command has its error
	for _, cmd := range cmds {
		v, cerr := cmd.Result()
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

// IsLoading tells the replies of a server that is about to be ready (LOADING, BUSY, and of
// a cluster that has not yet put another master in place of a dead one): the command has
// changed nothing.
func IsLoading(err error) bool {
	var reply redis.Error
	if !errors.As(err, &reply) {
		return false
	}
	word, _, _ := strings.Cut(reply.Error(), " ")
	return word == "LOADING" || word == "BUSY" || word == "CLUSTERDOWN"
}

// redisError marks the errors that mean that no Redis answered.
func redisError(err error) error {
	var reply redis.Error
	if err == nil || (errors.As(err, &reply) && !IsLoading(err)) {
		return err
	}
	return &UnreachableError{Err: err}
}
