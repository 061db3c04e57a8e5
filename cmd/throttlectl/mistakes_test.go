package main

import (
	"encoding/json"
	"strings"
)

// mistake is a command line that is refused; • stands for a space inside a word.
type mistake struct {
	args string
	code int
	word string // for programs
	says string
}

// mistakes runs each as text and with --json.
func (b *bench) mistakes(list []mistake) {
	b.t.Helper()
	for _, m := range list {
		args := strings.Fields(m.args)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "•", " ")
		}
		text := b.run(args...)
		if text.code != m.code || text.out != "" || !strings.Contains(text.err, m.says) {
			b.t.Errorf("throttlectl %.100s: exit %d, want %d with %q; output %q, error %s", m.args, text.code, m.code, m.says, text.out, text.err)
		}
		r := b.run(append([]string{"--json"}, args...)...)
		var got struct {
			Error struct{ Code, Message string }
		}
		if err := json.Unmarshal([]byte(r.err), &got); err != nil || r.out != "" {
			b.t.Errorf("throttlectl --json %.100s: %v\n%s%s", m.args, err, r.out, r.err)
			continue
		}
		if r.code != m.code || got.Error.Code != m.word || !strings.Contains(got.Error.Message, m.says) {
			b.t.Errorf("throttlectl --json %.100s: exit %d, %+v, want %d %s", m.args, r.code, got, m.code, m.word)
		}
	}
}
