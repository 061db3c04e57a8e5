//go:build linux

package doctest

import (
	"fmt"
	"os"
	"regexp"
	"strings"
)

// present makes an output fit to be read: what belongs to this run's machine is called
// what a reader's would be.
func (s *shell) present(out []string) []string {
	host, _ := os.Hostname()
	cell := regexp.MustCompile(`\b` + regexp.QuoteMeta(host) + `\b\S*( *)`)
	r := strings.NewReplacer(s.redis, redisURL, s.dir+"/", "", s.dir, ".")
	seen := make([]string, len(out))
	for i, line := range out {
		line = cell.ReplaceAllStringFunc(r.Replace(line), func(c string) string {
			wide := len(c)
			if c = strings.Replace(c, host, "web-1", 1); strings.HasSuffix(c, "  ") {
				c = fmt.Sprintf("%-*s", wide, c) // the columns after it stay where they are
			}
			return c
		})
		seen[i] = strings.TrimRight(line, " \t")
	}
	return seen
}

// varying are the parts of an output that no two runs share, and what stands for them.
var varying = []struct {
	form *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "TIME"},
	{regexp.MustCompile(`\b(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d(\.\d+)?\b`), "CLOCK"},
	{regexp.MustCompile(`\b[0-9a-f]{13}-[0-9a-f]+\b`), "TASK"},
	{regexp.MustCompile(`\bq-[0-9a-f]{8}\b`), "QUEUE"},
	{regexp.MustCompile(`\bweb-1-\d+-[0-9a-f]{6}\b`), "WORKER"},
	{regexp.MustCompile(`\b[0-9a-f]{12}\b`), "HASH"},
	{regexp.MustCompile(`\b(pid:?|web-1) +\d+\b`), "${1} PID"},
	{regexp.MustCompile(`\b\d[\dhms.µ]* ago\b`), "SPAN ago"},
	{regexp.MustCompile(`\bin (about )?\d[\dhms.µ]*`), "in SPAN"},
	{regexp.MustCompile(`\d+(\.\d+)?(e-\d+)?([mµn]s)\b`), "SPAN"},
	{regexp.MustCompile(`\d+\.\d+(e-\d+)?`), "N.N"},
	{regexp.MustCompile(`  +`), "  "}, // columns are as wide as what varies in them
}

func normal(line string) string {
	line = strings.TrimRight(line, " \t")
	for _, v := range varying {
		line = v.form.ReplaceAllString(line, v.with)
	}
	return line
}

// matches holds an output against the lines of a document.
func matches(want, got []string) bool {
	for len(want) > 0 && want[0] != "..." {
		if len(got) == 0 || !matchesLine(want[0], got[0]) {
			return false
		}
		want, got = want[1:], got[1:]
	}
	if len(want) == 0 {
		return len(got) == 0
	}
	for skip := range len(got) + 1 {
		if matches(want[1:], got[skip:]) {
			return true
		}
	}
	return false
}

func matchesLine(want, got string) bool {
	parts := strings.Split(normal(want), "…")
	for i, p := range parts {
		parts[i] = regexp.QuoteMeta(p)
	}
	return regexp.MustCompile("^" + strings.Join(parts, ".*") + "$").MatchString(normal(got))
}
