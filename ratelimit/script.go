package ratelimit

import (
	"context"
	_ "embed"

	"github.com/redis/go-redis/v9"
)

// BucketLua is the bucket for scripts to be put together with: the functions
// bucket_span, bucket_at, bucket_debit, bucket_left and bucket_change, all local.
//
//go:embed bucket.lua
var BucketLua string

// ClockLua is engine time for scripts to be put together with: the functions clock_read
// and clock_write, both local. All scripts of one namespace share its clock key.
//
//go:embed clock.lua
var ClockLua string

var (
	//go:embed limit.lua
	limitLua string
	//go:embed take.lua
	takeLua string
	//go:embed peek.lua
	peekLua string
	//go:embed set.lua
	setLua string
	//go:embed reset.lua
	resetLua string
	//go:embed remove.lua
	removeLua string
	//go:embed sweep.lua
	sweepLua string
)

var (
	takeScript   = newScript(ClockLua, BucketLua, limitLua, takeLua)
	peekScript   = newScript(ClockLua, BucketLua, limitLua, peekLua)
	setScript    = newScript(ClockLua, BucketLua, limitLua, setLua)
	resetScript  = newScript(resetLua)
	removeScript = newScript(removeLua)
	sweepScript  = newScript(ClockLua, BucketLua, limitLua, sweepLua)
)

// script is Lua that runs at most once for each call of run.
type script struct{ src, hash string }

func newScript(parts ...string) *script {
	src := ""
	for _, p := range parts {
		src += p + "\n"
	}
	return &script{src: src, hash: redis.NewScript(src).Hash()}
}

// run sends the script's hash, and its text only if Redis answers that it does not know
// it, which means that it did not run. The client's own retries are off for it: after a
// lost reply nobody knows whether the script ran, so a second run might take twice.
func (s *script) run(ctx context.Context, rdb redis.UniversalClient, keys []string, args ...any) *redis.Cmd {
	cmd := s.send(ctx, rdb, "evalsha", s.hash, keys, args)
	if redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
		cmd = s.send(ctx, rdb, "eval", s.src, keys, args)
	}
	return cmd
}

func (s *script) send(ctx context.Context, rdb redis.UniversalClient, verb, text string, keys []string, args []any) *redis.Cmd {
	words := []any{verb, text, len(keys)}
	for _, k := range keys {
		words = append(words, k)
	}
	cmd := redis.NewCmd(ctx, append(words, args...)...)
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
