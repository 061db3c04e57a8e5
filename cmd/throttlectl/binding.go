package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/throttlerd/throttlerd/scheduler"
)

// bindingView is the limit that holds a task up longest, in JSON.
type bindingView struct {
	Limit         string     `json:"limit"` // `queue`, `key "acme"` or `limit "github"`
	Why           string     `json:"why"`   // "rate", "concurrency", "frozen", "turn" or "never"
	Need          int64      `json:"need"`  // tokens, or places
	Have          int64      `json:"have"`
	NextInSeconds *float64   `json:"next_in_seconds"` // null where no instant is known
	NextAt        *time.Time `json:"next_at"`
}

// viewBinding needs the instant at which it was so.
func viewBinding(b *scheduler.Binding, now time.Time) *bindingView {
	if b == nil {
		return nil
	}
	v := &bindingView{Limit: b.Limit, Why: b.Why, Need: b.Need, Have: b.Have, NextAt: instant(b.Next)}
	if v.NextAt != nil {
		wait := max(0, b.Next.Sub(now).Seconds())
		v.NextInSeconds = &wait
	}
	return v
}

// bindingText says what a limit needs and has, and when it may have room.
func bindingText(b *scheduler.Binding, now time.Time) string {
	next := ""
	if !b.Next.IsZero() {
		next = ", may go on " + hence(b.Next, now)
	}
	switch b.Why {
	case "frozen":
		return fmt.Sprintf("%s: frozen, for an upstream said slow down%s", b.Limit, next)
	case "turn":
		return fmt.Sprintf("%s: others are before it%s", b.Limit, next)
	case "never":
		return fmt.Sprintf("%s: needs %s, which is above its capacity", b.Limit, plural(b.Need, "token"))
	}
	unit, those := bindingUnit(b), ""
	if b.Have >= b.Need {
		those = " for those before it"
	}
	return fmt.Sprintf("%s: needs %s, has %s%s%s", b.Limit, plural(b.Need, unit), count(b.Have), those, next)
}

// bindingUnit is what a limit has too few of.
func bindingUnit(b *scheduler.Binding) string {
	if b.Why == "concurrency" || b.Why == "turn" {
		return "place"
	}
	return "token"
}

// bindingBrief is bindingText in a few letters, for a column: "rate 3s" of a queue's own,
// "github 3s" or "github frozen 9s" of a named one.
func bindingBrief(b *scheduler.Binding, now time.Time) string {
	var words []string
	if name := namedLimit(b.Limit); name != "" {
		words = append(words, name)
	} else if b.Limit != "queue" {
		words = append(words, strings.ReplaceAll(b.Limit, `"`, ""))
	}
	if b.Why != "rate" || len(words) == 0 {
		words = append(words, b.Why)
	}
	if !b.Next.IsZero() {
		words = append(words, tenths(max(0, b.Next.Sub(now))))
	}
	return strings.Join(words, " ")
}

// namedLimit is the limit's name, of what a Binding or BlockedBy says; "" for others.
func namedLimit(s string) string {
	name, ok := strings.CutPrefix(s, `limit "`)
	if !ok {
		return ""
	}
	return strings.TrimSuffix(name, `"`)
}
