// Package handlerpb is the protocol between throttlerd and its handler plugins:
// handler.proto, the Go code generated from it, and the constants of the
// handshake. Plugins in other languages start from handler.proto; plugins in Go
// use package pluginapi and never see this one.
package handlerpb

import "time"

// The handshake of HashiCorp go-plugin. The cookie only tells a plugin that it
// was started by throttlerd and not by hand; it protects nothing.
const (
	ProtocolVersion  = 1
	MagicCookieKey   = "THROTTLERD_PLUGIN"
	MagicCookieValue = "5d0fa7a3c1e94b3c8d1c7f2b6be0a1f4"

	// PluginName is the name under which go-plugin dispenses the service.
	PluginName = "handler"
)

// Environment that throttlerd sets for a plugin.
const (
	// EnvLifeline holds the number of a file descriptor that reaches its end
	// when the host is gone. A plugin that sees the end exits at once.
	EnvLifeline = "THROTTLERD_LIFELINE_FD"

	// EnvLogLevel holds the least level of log lines that the host keeps:
	// trace, debug, info, warn, error or off.
	EnvLogLevel = "THROTTLERD_LOG_LEVEL"
)

// CapabilityStartAt is that of a plugin which obeys Task.start_mono_ns and
// Task.not_after_mono_ns.
const CapabilityStartAt = "start_at"

// MaxEarly is how long before its instant a run may be sent.
const MaxEarly = 20 * time.Millisecond

// Bounds of the wire.
const (
	// MaxMessage is the largest message that either end must accept. Senders cut
	// their batches at MaxBatch, so that one task of the largest payload fits.
	MaxMessage = 8 << 20
	MaxBatch   = 1 << 20

	// MaxBatchItems bounds how many tasks or results go in one message.
	MaxBatchItems = 512

	// MaxResult and MaxError are where a result and an error text are cut.
	MaxResult = 64 << 10
	MaxError  = 4 << 10

	// MaxNote is where the note of a progress is cut.
	MaxNote = 256

	// MaxLimits bounds of how many limits a result tells the cost, and how many
	// reports it carries. Names of limits are at most MaxLimitName bytes.
	MaxLimits    = 16
	MaxLimitName = 64

	// MaxTokens bounds what is told of a limit, MaxReset the time to its reset.
	MaxTokens = 1_000_000_000
	MaxReset  = 24 * time.Hour
)
