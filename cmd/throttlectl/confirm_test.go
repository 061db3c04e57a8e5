package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestConfirm(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.queue("emails", "smtp", "")
	ask := func(answer string, args ...string) result {
		var out, err bytes.Buffer
		a := newApp(append([]string{"--redis-url", b.server.URL()}, args...), strings.NewReader(answer), &out, &err)
		a.interactive = true
		code := a.run()
		return result{code, out.String(), err.String()}
	}
	for _, s := range []struct {
		answer string
		code   int
	}{{"", 4}, {"\n", 4}, {"n\n", 4}, {"yesterday\n", 4}, {"y\n", 0}, {"YES\n", 0}, {"yes", 0}} {
		b.submit("emails", "{}")
		q, err := b.Queue(b.ctx(), "emails")
		b.must(err)
		r := ask(s.answer, "queue", "purge", "emails")
		contains(t, r.err, `Drop `+count(q.Waiting)+` waiting and 0 scheduled tasks of queue "emails"? [y/N]`)
		after, err := b.Queue(b.ctx(), "emails")
		b.must(err)
		if r.code != s.code || (after.Waiting == 0) != (s.code == 0) {
			t.Errorf("answer %q: exit %d, %d waiting", s.answer, r.code, after.Waiting)
		}
	}
	b.submit("emails", "{}")
	r := ask("y\n", "queue", "remove", "emails", "--force")
	contains(t, r.err, `Remove queue "emails" with 1 waiting, 0 scheduled, 0 running and 0 dead tasks? [y/N]`)
	if r.code != 0 || r.out != "emails: removed\n" {
		t.Errorf("%+v", r)
	}
}

func TestCommandToType(t *testing.T) {
	t.Parallel()
	a := &app{args: []string{"--namespace", "acme", "queue", "purge", "it's mine"}}
	if got, want := a.commandLine("--yes"), `throttlectl --namespace acme queue purge 'it'\''s mine' --yes`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
