package ratelimit

import (
	"context"
	_ "embed"

	"github.com/redis/go-redis/v9"

	"github.com/throttlerd/throttlerd/internal/once"
)

// BucketLua is what limits are made of, for scripts to be put together with: bucket.lua
// and buckets.lua. All their functions are local.
var BucketLua = bucketLua + bucketsLua

// ClockLua is engine time for scripts to be put together with: the functions clock_read
// and clock_write, both local. All scripts of one namespace share its clock key.
//
//go:embed clock.lua
var ClockLua string

// WakeLua is who is told that there is work, and LimitLua named limits and who waits at
// them, behind BucketLua and WakeLua, for scripts to be put together with. SetLua, ResetLua,
// RemoveLua and PeekLua are the verbs on a limit, behind LimitLua.
var (
	//go:embed wake.lua
	WakeLua string
	//go:embed limit.lua
	LimitLua string
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
	//go:embed take_plain.lua
	takePlainLua string
	//go:embed take.lua
	takeLua string
	//go:embed sweep.lua
	sweepLua string
)

var (
	takeScript   = compose(bucketLua + takePlainLua + bucketsLua + WakeLua + LimitLua + takeLua)
	peekScript   = newScript(PeekLua)
	setScript    = newScript(SetLua)
	resetScript  = newScript(ResetLua)
	removeScript = newScript(RemoveLua)
	sweepScript  = newScript(sweepLua)
)

// script is Lua that runs at most once for each call of run.
type script struct{ src, hash string }

func newScript(verb string) *script { return compose(BucketLua + WakeLua + LimitLua + verb) }

func compose(src string) *script {
	src = LuaKeys(ClockLua+src, KeyParts)
	return &script{src: src, hash: redis.NewScript(src).Hash()}
}

// run sends the script's hash, and its text only if Redis answers that it does not know
// it, which means that it did not run.
func (s *script) run(ctx context.Context, rdb redis.UniversalClient, clock string, args ...any) *redis.Cmd {
	all := append([]any{"evalsha", s.hash, 1, clock}, args...)
	cmd := once.Do(ctx, rdb, all...)
	if redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
		all[0], all[1] = "eval", s.src
		cmd = once.Do(ctx, rdb, all...)
	}
	return cmd
}
