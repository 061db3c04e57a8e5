package config

import (
	"bytes"
	"regexp"
)

// Diagnostics show source lines, and a source line may hold a secret. These find
// the likely ones; each hides its last group. They work on bytes and need no parsed
// file, because a file that does not parse has diagnostics too.
var (
	urlPassword   = regexp.MustCompile(`://[^:@/"\s]*:([^"\n]*)@`)
	hostPassword  = regexp.MustCompile(`"[^:@/"\s]*:([^/"\n][^"\n]*)@`) // of an address without a scheme
	queryPassword = regexp.MustCompile(`(?i)[?&][a-z_]*password=([^&"\s]+)`)
	secretSetting = regexp.MustCompile(`(?i)[a-z0-9_-]*(?:password|passwd|secret|token|credential|api[_-]?key|private[_-]?key|authorization)[a-z0-9_-]*"?[ \t]*[=:][ \t]*"((?:[^"\\\n]|\\.)*)`)
	namesFile     = regexp.MustCompile(`(?i)_(?:file|path|dir)$`) // where a secret is, is none
	// In a file that does not parse a quote may stand in the middle of a password.
	brokenURLPassword = regexp.MustCompile(`://[^:@/"\s]*:([^\n]*)@`)
)

// mask returns a copy of src with secrets replaced by as many asterisks, so that
// every position stays, and with control characters replaced, which could steer a
// terminal. broken says that src did not parse: more is hidden then.
func mask(src []byte, broken bool) []byte {
	out := append([]byte(nil), src...)
	rules := []*regexp.Regexp{urlPassword, hostPassword, queryPassword, secretSetting}
	if broken {
		rules = append(rules, brokenURLPassword)
	}
	for _, rule := range rules {
		for _, m := range rule.FindAllSubmatchIndex(src, -1) {
			if namesFile.Match(bytes.TrimRight(src[m[0]:m[2]], " \t=:\"")) {
				continue
			}
			for i := m[2]; i < m[3]; i++ {
				out[i] = '*'
			}
		}
	}
	for i, b := range out {
		if b < ' ' && b != '\t' && b != '\n' && b != '\r' || b == 0x7f {
			out[i] = '?'
		}
	}
	return out
}
