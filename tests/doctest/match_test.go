//go:build linux

package doctest

import (
	"strings"
	"testing"
)

func TestMatches(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		want, got string
		ok        bool
	}{
		{"a\nb", "a\nb", true},
		{"a\nb", "a", false},
		{"a", "a\nb", false},
		{"...", "", true},
		{"a\n...\nd", "a\nb\nc\nd", true},
		{"a\n...\nd", "a\nd", true},
		{"a\n...\nd", "a\nd\ne", false},
		{"...\nd", "d\nd", true},
		{"tokens 4.2 of 5", "tokens 3.98 of 5", true},
		{"tokens 4.2 of 5", "tokens 3.98 of 6", false},
		{"a … of 7", "a few things of 7", true},
		{"a … of 7", "a few things of 8", false},
		{"NAME   STATE", "NAME       STATE", true},
		{"next at 10:00:01, 3s ago", "next at 23:59:59, 21m1s ago", true},
		{"waiting 3", "waiting 4", false},
	} {
		if got := matches(strings.Split(c.want, "\n"), strings.Split(c.got, "\n")); got != c.ok {
			t.Errorf("%q against %q: %v", c.got, c.want, got)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	text := strings.Split(`# Title
<!-- file: a.hcl -->
`+"```hcl"+`
namespace = "a"
`+"```"+`
<!-- until: test -e x -->
`+"```console"+`
$ one \
> two
out
$ three
`+"```"+`
`+"```"+`
$ not a session
`+"```", "\n")
	steps := parse(text)
	if len(steps) != 4 {
		t.Fatalf("%+v", steps)
	}
	if s := steps[0]; s.kind != file || s.text != "a.hcl" || s.body[0] != `namespace = "a"` {
		t.Errorf("%+v", s)
	}
	if s := steps[1]; s.kind != until || s.text != "test -e x" {
		t.Errorf("%+v", s)
	}
	if s := steps[2]; s.kind != command || s.text != "one \\\ntwo" || s.want[0] != "out" || s.line != 8 {
		t.Errorf("%+v", s)
	}
	if s := steps[3]; s.kind != command || s.text != "three" || len(s.want) != 0 {
		t.Errorf("%+v", s)
	}
}
