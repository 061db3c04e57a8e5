package config

import (
	"fmt"
	"strings"

	"github.com/throttlerd/throttlerd/ratelimit"
)

const nameRuleText = "1 to 64 characters of a-z 0-9 _ . -, the first a letter or a digit"

// CheckName says whether name may name a namespace, queue, limit, handler, pool or
// owner. The error completes a sentence whose subject is kind.
func CheckName(kind, name string) error {
	if ratelimit.ValidName(name) {
		return nil
	}
	hint := ""
	if lower := strings.ToLower(strings.ReplaceAll(name, " ", "-")); ratelimit.ValidName(lower) {
		hint = fmt.Sprintf("; did you mean %q?", lower)
	}
	return fmt.Errorf("%s %q is not a name: %s%s", kind, shorten(name), nameRuleText, hint)
}

// didYouMean is " Did you mean …?", or nothing when no candidate is near.
// Neither a very long name nor very many candidates are worth the search.
func didYouMean(name string, candidates []string) string {
	if len(name) > 128 {
		return ""
	}
	if c := ratelimit.Nearest(name, candidates[:min(len(candidates), 1000)]); c != "" {
		return fmt.Sprintf(" Did you mean %q?", c)
	}
	return ""
}

// quotedList is `"a", "b"`, cut when it is long.
func quotedList(names []string) string {
	const most = 20
	more := ""
	if len(names) > most {
		more = fmt.Sprintf(" and %d more", len(names)-most)
		names = names[:most]
	}
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = fmt.Sprintf("%q", shorten(n))
	}
	return strings.Join(quoted, ", ") + more
}

// shorten keeps what a user typed readable in a message.
func shorten(s string) string {
	const most = 80
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
