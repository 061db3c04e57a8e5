package ratelimit

import (
	"context"
	_ "embed"

	"github.com/redis/go-redis/v9"
)

// BucketLua is what limits are made of, for scripts to be put together with: bucket.lua
// and buckets.lua. All their functions are local.
var BucketLua = bucketLua + bucketsLua

// ClockLua is engine time for scripts to be put together with: the functions clock_read
// and clock_write, both local. All scripts of one namespace share its clock key.
//
//go:embed clock.lua
var ClockLua string

// LimitLua is named limits and who waits at them, for scripts to be put together with:
// wake.lua and limit.lua, behind BucketLua. SetLua, ResetLua, RemoveLua and PeekLua are
// the verbs on a limit, behind LimitLua.
var LimitLua = wakeLua + limitLua

var (
	//go:embed set.lua
	SetLua string
	//go:embed reset.lua
	ResetLua string
	//go:embed remove.lua
	RemoveLua string
	//go:embed peek.lua
	PeekLua string
)

var (
	//go:embed bucket.lua
	bucketLua string
	//go:embed buckets.lua
	bucketsLua string
	//go:embed wake.lua
	wakeLua string
	//go:embed limit.lua
	limitLua string
	//go:embed take_plain.lua
	takePlainLua string
	//go:embed take.lua
	takeLua string
	//go:embed sweep.lua
	sweepLua string
)

var (
	takeScript   = compose(bucketLua + takePlainLua + bucketsLua + LimitLua + takeLua)
	peekScript   = newScript(PeekLua)
	setScript    = newScript(SetLua)
	resetScript  = newScript(ResetLua)
	removeScript = newScript(RemoveLua)
	sweepScript  = newScript(sweepLua)
)

// script is Lua that runs at most once for each call of run.
type script struct{ src, hash string }

func newScript(verb string) *script { return compose(BucketLua + LimitLua + verb) }

func compose(src string) *script {
	src = LuaKeys(src, KeyParts) + ClockLua + src
	return &script{src: src, hash: redis.NewScript(src).Hash()}
}

// run sends the script's hash, and its text only if Redis answers that it does not know
// it, which means that it did not run. The client's own retries are off for it: after a
// lost reply nobody knows whether the script ran, so a second run might take twice.
func (s *script) run(ctx context.Context, rdb redis.UniversalClient, clock string, args ...any) *redis.Cmd {
	cmd := s.send(ctx, rdb, "evalsha", s.hash, clock, args)
	if redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
		cmd = s.send(ctx, rdb, "eval", s.src, clock, args)
	}
	return cmd
}

func (s *script) send(ctx context.Context, rdb redis.UniversalClient, verb, text, clock string, args []any) *redis.Cmd {
	cmd := redis.NewCmd(ctx, append([]any{verb, text, 1, clock}, args...)...)
	cmd.SetFirstKeyPos(3) // where Cluster finds the slot
	if err := rdb.Process(ctx, once{cmd}); err != nil {
		cmd.SetErr(err)
	}
	return cmd
}

// once is a command that the client does not retry.
type once struct{ *redis.Cmd }

func (once) NoRetry() bool { return true }

func (c once) Clone() redis.Cmder { return once{c.Cmd.Clone().(*redis.Cmd)} }
