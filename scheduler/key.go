package scheduler

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/throttlerd/throttlerd/ratelimit"
)

const (
	maxLimits     = 8    // that a queue names
	maxExceptions = 1000 // of a queue
	maxWeight     = 1000
	maxKey        = 256 // bytes
)

// checkLimits returns an *InvalidError for what is wrong with the limits beside the
// queue's own.
func (s QueueSpec) checkLimits() error {
	bad := func(what, reason string, args ...any) error {
		return &InvalidError{What: what, Reason: fmt.Sprintf(reason, args...)}
	}
	seen := make(map[string]bool)
	for _, name := range s.Limits {
		if err := CheckLimit(name); err != nil {
			return err
		}
		if seen[name] {
			return bad("limits", "name %q twice", name)
		}
		seen[name] = true
	}
	switch {
	case len(s.Limits) > maxLimits:
		return bad("limits", "are %d; a queue may be under %d at most", len(s.Limits), maxLimits)
	case len(s.Exceptions) > 0 && s.Key == nil:
		return bad("exceptions", "need the bounds that are for all keys")
	case len(s.Exceptions) > maxExceptions:
		return bad("exceptions", "are %d; at most %d are kept", len(s.Exceptions), maxExceptions)
	case s.Key == nil:
		return nil
	}
	if err := (KeyRule{&s.Key.Rates, &s.Key.Concurrency, &s.Key.Weight}).validate("key"); err != nil {
		return err
	}
	for _, key := range sortedKeys(s.Exceptions) {
		if key == "" || len(key) > maxKey || strings.ContainsAny(key, "\x00\r\n") {
			return bad("exception", "%q is not a key: 1 to %d bytes without line breaks", key, maxKey)
		}
		r := s.Exceptions[key]
		if r == (KeyRule{}) {
			return bad("exception", "of key %q changes nothing", key)
		}
		if err := r.validate(fmt.Sprintf("exception of key %q:", key)); err != nil {
			return err
		}
	}
	return nil
}

// CheckLimit refuses what cannot name a limit: "queue" and "key" stand for the queue's own
// and the key's.
func CheckLimit(name string) error {
	if err := CheckName("limit", name); err != nil {
		return err
	}
	if name == ofQueue || name == ofKey {
		return &InvalidError{What: "limit", Reason: fmt.Sprintf("%q is a reserved name: it stands for the limit of the %s itself", name, name)}
	}
	return nil
}

func (r KeyRule) validate(what string) error {
	bad := func(format string, args ...any) error {
		return &InvalidError{What: what, Reason: fmt.Sprintf(format, args...)}
	}
	if r.Rates != nil {
		if err := r.Rates.Validate(); err != nil {
			return bad("%s", err)
		}
	}
	if r.Concurrency != nil && (*r.Concurrency < 0 || *r.Concurrency > maxConcurrency) {
		return bad("concurrency must be 0 (no cap) to %d", maxConcurrency)
	}
	if r.Weight != nil && (*r.Weight < 1 || *r.Weight > maxWeight) {
		return bad("weight must be 1 to %d", maxWeight)
	}
	return nil
}

// encode writes "cap weight rates"; "" for nil.
func (k *KeySpec) encode() string {
	if k == nil {
		return ""
	}
	return fmt.Sprintf("%d %d %s", k.Concurrency, k.Weight, k.Rates.Stored())
}

func decodeKeySpec(s string) *KeySpec {
	f := strings.SplitN(s, " ", 3)
	if len(f) != 3 {
		return nil
	}
	return &KeySpec{Concurrency: int(number(f[0])), Weight: int(number(f[1])), Rates: ratelimit.ReadRates(f[2])}
}

// encode writes "cap weight rates", with - for what is as for all keys.
func (r KeyRule) encode() string {
	part := func(v *int) string {
		if v == nil {
			return "-"
		}
		return strconv.Itoa(*v)
	}
	rates := "-"
	if r.Rates != nil {
		rates = r.Rates.Stored()
	}
	return part(r.Concurrency) + " " + part(r.Weight) + " " + rates
}

func decodeKeyRule(s string) KeyRule {
	f := strings.SplitN(s, " ", 3)
	if len(f) != 3 {
		return KeyRule{}
	}
	part := func(s string) *int {
		if s == "-" {
			return nil
		}
		n := int(number(s))
		return &n
	}
	r := KeyRule{Concurrency: part(f[0]), Weight: part(f[1])}
	if f[2] != "-" {
		rates := ratelimit.ReadRates(f[2])
		r.Rates = &rates
	}
	return r
}
