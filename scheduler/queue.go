package scheduler

import (
	"fmt"
	"strconv"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
)

// DefaultPool is the pool of a queue that names none.
const DefaultPool = "default"

// QueueSpec is all that can be set of a queue.
type QueueSpec struct {
	Handler string
	Pool    string
	Rate    ratelimit.Rate // the zero Rate is no limit
	Timeout time.Duration  // of one run
	Retry   Retry
	History int // ended tasks that are kept
	Paused  bool
	// MaxLength is how many tasks may be waiting and scheduled; a submit of more is
	// refused, retries are not. 0 is no bound.
	MaxLength int
	// ExpireAfter removes the queue when it has been idle for so long: no task in it,
	// none submitted or ended, and its bucket full. 0 is never. A queue that a file
	// declares does not expire while it does.
	ExpireAfter time.Duration
}

// Retry says how often and when a failed task runs again: the k-th time after
// min(Max, Min·2^(k-1)), less a random part of it up to Jitter.
type Retry struct {
	MaxAttempts int
	Min, Max    time.Duration
	Jitter      float64 // 0 to 1
}

// DefaultQueue returns the settings of a queue that names only its handler.
func DefaultQueue(handler string) QueueSpec {
	return QueueSpec{
		Handler: handler, Pool: DefaultPool, Timeout: 30 * time.Second, History: 1000,
		Retry: Retry{MaxAttempts: 5, Min: time.Second, Max: 10 * time.Minute, Jitter: 0.5},
	}
}

// Validate returns an *InvalidError for the first setting that is out of range.
func (s QueueSpec) Validate() error {
	if err := CheckName("handler", s.Handler); err != nil {
		return err
	}
	if err := CheckName("pool", s.Pool); err != nil {
		return err
	}
	if s.Rate != (ratelimit.Rate{}) {
		if err := s.Rate.Validate(); err != nil {
			return &InvalidError{What: "rate", Reason: err.Error()}
		}
	}
	year := 366 * 24 * time.Hour
	for _, c := range []struct {
		ok           bool
		what, reason string
	}{
		{s.Timeout >= time.Millisecond && s.Timeout <= year, "timeout", "must be 1ms to 366d"},
		{s.Retry.MaxAttempts >= 1 && s.Retry.MaxAttempts <= 10_000, "retry max_attempts", "must be 1 to 10000"},
		{s.Retry.Min >= time.Millisecond && s.Retry.Min <= year, "retry min", "must be 1ms to 366d"},
		{s.Retry.Max >= s.Retry.Min && s.Retry.Max <= year, "retry max", "must be at least min, at most 366d"},
		{s.Retry.Jitter >= 0 && s.Retry.Jitter <= 1, "retry jitter", "must be 0 to 1"},
		{s.ExpireAfter == 0 || s.ExpireAfter >= time.Second && s.ExpireAfter <= year, "expire_after", "must be 1s to 366d, or 0 for never"},
		{s.MaxLength >= 0 && s.MaxLength <= 1_000_000_000, "max_length", "must be 0 (no bound) to 1000000000"},
		{s.History >= 0 && s.History <= 1_000_000, "history", "must be 0 to 1000000"},
	} {
		if !c.ok {
			return &InvalidError{What: c.what, Reason: c.reason}
		}
	}
	return nil
}

// fields are the settings as the queue's hash holds them.
func (s QueueSpec) fields() []any {
	return []any{
		"handler", s.Handler, "pool", s.Pool, "rate", encodeRate(s.Rate),
		"timeout", s.Timeout.Microseconds(), "attempts", s.Retry.MaxAttempts,
		"retry_min", s.Retry.Min.Microseconds(), "retry_max", s.Retry.Max.Microseconds(),
		"jitter", int64(s.Retry.Jitter * 1e6), "history", s.History, "paused", flag(s.Paused),
		"expire_after", s.ExpireAfter.Microseconds(), "max_length", s.MaxLength,
	}
}

func decodeSpec(h map[string]string, prefix string) QueueSpec {
	num := func(f string) int64 { return number(h[prefix+f]) }
	return QueueSpec{
		Handler: h[prefix+"handler"], Pool: h[prefix+"pool"], Rate: decodeRate(h[prefix+"rate"]),
		Timeout: time.Duration(num("timeout")) * time.Microsecond,
		Retry: Retry{
			MaxAttempts: int(num("attempts")),
			Min:         time.Duration(num("retry_min")) * time.Microsecond,
			Max:         time.Duration(num("retry_max")) * time.Microsecond,
			Jitter:      float64(num("jitter")) / 1e6,
		},
		History: int(num("history")), Paused: h[prefix+"paused"] == "1",
		ExpireAfter: time.Duration(num("expire_after")) * time.Microsecond,
		MaxLength:   int(num("max_length")),
	}
}

// encodeRate writes "N P B", P in µs; "" for no limit.
func encodeRate(r ratelimit.Rate) string {
	if r == (ratelimit.Rate{}) {
		return ""
	}
	return fmt.Sprintf("%d %d %d", r.N, r.Period.Microseconds(), r.Burst)
}

// decodeRate returns the zero Rate for what encodeRate has not written.
func decodeRate(s string) ratelimit.Rate {
	var r ratelimit.Rate
	var us int64
	if n, _ := fmt.Sscanf(s, "%d %d %d", &r.N, &us, &r.Burst); n != 3 {
		return ratelimit.Rate{}
	}
	r.Period = time.Duration(us) * time.Microsecond
	return r
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

func number(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64) // written by our scripts; absent is 0
	return n
}
