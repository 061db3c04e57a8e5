package scheduler

import (
	"fmt"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
)

// LimitSpec is all that can be set of a named limit, and of a queue's own.
type LimitSpec struct {
	Rates       ratelimit.Rates // none is no rate
	Concurrency int             // tasks running at once, over all workers; 0 is no cap
	// DebtMax is how far below zero a reported actual cost may take a bucket; what is
	// beyond is counted as cut. 0 to the least burst.
	DebtMax int64
}

// LimitChange is what SetLimit changes; nil leaves a setting as it is.
type LimitChange struct {
	Rates       *ratelimit.Rates
	Concurrency *int
	DebtMax     *int64
	// For, with Rates, makes them a change that reverts by itself after so long. 0 is
	// for good, and ends one that would revert.
	For time.Duration
	// By says who changes it, for the log of edits; "" is "a program".
	By string
}

// Limit is a named limit as it stood at one instant.
type Limit struct {
	Name string
	LimitSpec
	Bucket
	Owner      string     // of the file that declares it, or ""
	Undeclared bool       // its owner's file has it no more: in force, and may be removed
	Damaged    bool       // its rates cannot be read: nothing starts under it
	Declared   *LimitSpec // what the file says, where that differs from what is in force
	Queues     []string   // that name it, sorted
	Waiting    int64      // queues that wait at it
	Spent      int64      // tokens granted
	Wasted     int64      // of those, for starts that were not
	Credited   int64      // tokens that cost less than granted, given back
	Owed       int64      // tokens that cost more than granted, taken
	Cut        int64      // tokens that cost more, beyond DebtMax: not taken
}

// Bucket is how a limit stands: a queue's own, a named one or a key's.
type Bucket struct {
	Running     int64     // tasks that hold a place
	Tokens      float64   // the least level of its rates, with its fraction
	Capacity    int64     // the least burst of its rates; 0 without one
	NextToken   time.Time // when it holds one more whole token, or all; zero without a rate
	FrozenUntil time.Time // zero unless an upstream's slow-down is in force
	Override    *Override // a change of rates that reverts by itself
	LastEdit    *Edit     // the last change by hand; nil for none
	At          time.Time // engine time of the snapshot
}

// Override is a change of rates that ends by itself: Bucket and spec show the rates in
// force, Base those that come back.
type Override struct {
	Until time.Time
	Base  ratelimit.Rates
}

// Edit is one change by hand.
type Edit struct {
	At   time.Time
	By   string
	What string // such as `queue "calls": rate 10/1m for 2h0m0s`
}

// KeySpec bounds each key of a queue.
type KeySpec struct {
	Rates       ratelimit.Rates
	Concurrency int
	Weight      int // share among the keys that have work, 1 to 1000
}

// KeyRule is an exception for one key; nil is as for all keys.
type KeyRule struct {
	Rates       *ratelimit.Rates
	Concurrency *int
	Weight      *int
}

// Binding is the limit of a set that holds a task up longest.
type Binding struct {
	Limit string    // `queue`, `key "acme"` or `limit "github"`
	Why   string    // "rate", "concurrency", "frozen", "turn" (others are before it), "never" (the cost is above the capacity)
	Need  int64     // tokens, or places
	Have  int64     // of those, there now
	Next  time.Time // when it may have room; zero when no instant is known
}

// validate returns an *InvalidError for the first setting that is out of range.
func (s LimitSpec) validate() error {
	if err := s.Rates.Validate(); err != nil {
		return &InvalidError{What: "rate", Reason: err.Error()}
	}
	if s.Concurrency < 0 || s.Concurrency > maxConcurrency {
		return &InvalidError{What: "concurrency", Reason: "must be 0 (no cap) to 1000000"}
	}
	if s.DebtMax < 0 || s.DebtMax > s.Rates.Capacity() {
		return &InvalidError{What: "debt_max", Reason: fmt.Sprintf("must be 0 to %d, the least burst of the rates", s.Rates.Capacity())}
	}
	return nil
}

// changed is the limit with the rates that are in force for good after a change of them,
// for a while or not: what debt_max is measured by. It refuses rates that are no rates.
func (s LimitSpec) changed(before Bucket, rates *ratelimit.Rates, during time.Duration) (LimitSpec, error) {
	if rates != nil {
		if err := rates.Validate(); err != nil {
			return s, &InvalidError{What: "rate", Reason: err.Error()}
		}
	}
	switch {
	case rates != nil && during == 0:
		s.Rates = *rates
	case before.Override != nil:
		s.Rates = before.Override.Base
	}
	return s, nil
}

// fields are the settings as a limit's hash holds them, and a queue's its own.
func (s LimitSpec) fields() []any {
	return []any{"rate", s.Rates.Stored(), "cap", s.Concurrency, "debt", s.DebtMax}
}

func decodeLimit(h map[string]string, prefix string) LimitSpec {
	return LimitSpec{
		Rates: ratelimit.ReadRates(h[prefix+"rate"]), Concurrency: int(number(h[prefix+"cap"])), DebtMax: number(h[prefix+"debt"]),
	}
}

// maxConcurrency bounds a cap.
const maxConcurrency = 1_000_000
