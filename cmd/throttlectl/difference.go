package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/throttlerd/throttlerd/scheduler"
)

// changed is one setting with two values, as people read and type them.
type changed struct{ name, from, to string }

// changes are the settings in which two lists of them differ.
func changes(from, to [][2]string) []changed {
	var out []changed
	for i := range from {
		if from[i] != to[i] {
			out = append(out, changed{from[i][0], from[i][1], to[i][1]})
		}
	}
	return out
}

func changeWords(list []changed) string {
	if len(list) == 0 {
		return "as it was"
	}
	words := make([]string, len(list))
	for i, c := range list {
		words[i] = c.name + " " + c.from + " -> " + c.to
	}
	return strings.Join(words, ", ")
}

// difference are the settings of a queue in which two specs differ.
func difference(from, to scheduler.QueueSpec) []changed {
	return changes(spelled(from, nil), spelled(to, nil))
}

// spelled are the settings of a queue as people read and type them.
func spelled(s scheduler.QueueSpec, o *scheduler.Override) [][2]string {
	return slices.Concat(spelledLimit(s.LimitSpec, o), [][2]string{
		{"limits", names(s.Limits)},
		{"key", keyText(s.Key)},
		{"exceptions", exceptionsText(s.Exceptions)},
		{"handler", s.Handler},
		{"pool", s.Pool},
		{"timeout", exact(s.Timeout)},
		{"max-attempts", count(int64(s.Retry.MaxAttempts))},
		{"retry-min", exact(s.Retry.Min)},
		{"retry-max", exact(s.Retry.Max)},
		{"jitter", level(s.Retry.Jitter)},
		{"history", count(int64(s.History))},
		{"max-length", bound(s.MaxLength)},
		{"expire-after", (*expiryFlag)(&s.ExpireAfter).String()},
		{"paused", yesNo(s.Paused)},
	})
}

func names(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}

// overrideNote says that what a file declares is not what its file says.
func overrideNote(kind, name, owner string, o *scheduler.Override, list []changed) string {
	words := make([]string, len(list))
	for i, c := range list {
		words[i] = c.name + " " + c.to
	}
	note := fmt.Sprintf("Note: %s %q is declared by the file of owner %q, and this is an override of it; it stays until the setting is what the file says: %s",
		kind, name, owner, strings.Join(words, ", "))
	if o != nil {
		note += fmt.Sprintf("; the rate goes back to %s by itself at %s", o.Base, clock(o.Until))
	}
	return note
}

// bound is how many tasks there may be of some kind; 0 is any number.
func bound(n int) string {
	if n == 0 {
		return "none"
	}
	return count(int64(n))
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
