// Package ratelimit owns rates, their spelling ("10/1m:5"), and the token bucket that
// keeps them: as a pure Go model ([Bucket], and [Buckets] for a limit of several rates),
// as Lua for scripts in Redis ([BucketLua]), and as a [Limiter] for programs that want limits shared over many machines and
// nothing else. [Check] proves of any recorded stream that it kept a rate.
//
// All arithmetic is exact, in integers: for every window [a, b] a bucket grants at most
// B + ⌊N·(b−a)/P⌋ tokens, at any rate and for as long as it runs. The package knows no
// queues and no tasks, and reads no clock of its own: the model is told the time, and
// the scripts use that of Redis.
package ratelimit
