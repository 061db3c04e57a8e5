package ratelimit_test

import (
	"regexp"
	"strings"
	"testing"

	. "github.com/throttlerd/throttlerd/ratelimit"
	"pgregory.net/rapid"
)

func TestValidName(t *testing.T) {
	re := regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,63}$`)
	for _, s := range []string{"", "a", "0", "-a", "_a", ".a", "a-_.9", "A", "ä", "a b", "a\n", "a{b}", strings.Repeat("a", 64), strings.Repeat("a", 65)} {
		if got, want := ValidName(s), re.MatchString(s); got != want {
			t.Errorf("%q: %v, want %v", s, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.StringMatching(`[a-z0-9_.A-]{0,3}`), rapid.String()).Draw(t, "name")
		if ValidName(s) != re.MatchString(s) {
			t.Fatalf("%q: %v", s, ValidName(s))
		}
	})
}

func TestNearest(t *testing.T) {
	names := []string{"emails", "github", "deploys", "gitlab", "a"}
	for name, want := range map[string]string{
		"emials": "emails", "email": "emails", "gihub": "github", "gitlub": "github", "deploy": "deploys",
		"b": "a", "stripe": "", "": "a", "emails": "emails", "xyz": "",
	} {
		if got := Nearest(name, names); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	if got := Nearest("a", nil); got != "" {
		t.Errorf("of none: %q", got)
	}
}
