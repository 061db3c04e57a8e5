package config

import (
	"encoding/json"
	"strings"
	"testing"
)

const twoHandlers = `handler "hook" {
  plugin = "webhook"
  config {
    url     = "https://example.com"
    timeout = 5
  }
}
handler "echo" {}
`

func TestHandlerDiagnosticPointsAtTheAttribute(t *testing.T) {
	c := mustLoad(t, twoHandlers)
	tests := []struct{ handler, attribute, want string }{
		{"hook", "timeout", "line 5, in handler \"hook\":\n   5:     timeout = 5\n"},
		{"hook", "not_there", "line 3, in handler \"hook\":\n   3:   config {\n"},
		{"hook", "", "line 3, in handler"},
		{"echo", "url", "line 8, in handler \"echo\":\n   8: handler \"echo\" {}\n"},
		{"unknown", "url", `Handler "unknown" rejects its config: url: must be text.`},
	}
	for _, tt := range tests {
		d := c.HandlerDiagnostic(tt.handler, tt.attribute, "must be text")
		if got := text(t, d); !d.HasErrors() || !strings.Contains(got, tt.want) || !strings.Contains(got, "must be text.") {
			t.Errorf("%s %s:\n%s", tt.handler, tt.attribute, got)
		}
	}
	if got := text(t, c.HandlerStartDiagnostic("hook", "exited with status 1")); !strings.Contains(got, "line 1, in handler \"hook\"") {
		t.Error(got)
	}
}

func TestAppendKeepsOrderAndLines(t *testing.T) {
	c := mustLoad(t, twoHandlers)
	var none Diagnostics
	d := none.Append(c.HandlerDiagnostic("echo", "", "second")).Append(c.HandlerDiagnostic("hook", "url", "first"))
	got := text(t, d)
	if d.Len() != 2 || strings.Index(got, "first") > strings.Index(got, "second") || strings.Contains(got, "not available") {
		t.Error(got)
	}
	if none.HasErrors() || none.Len() != 0 || none.Err() != nil || text(t, none) != "" {
		t.Error("the zero value is not empty")
	}
	if !strings.Contains(d.Err().Error(), "config.hcl:4: Handler config rejected") || !strings.HasSuffix(d.Error(), "(and 1 more)") {
		t.Error(d.Err())
	}
}

func TestDiagnosticsAsJSON(t *testing.T) {
	_, diags := load(t, "redis {\n  url = \"redis://:hunter2@h:port\"\n}\n")
	raw, err := json.Marshal(diags)
	if err != nil || strings.Contains(string(raw), "hunter2") {
		t.Fatalf("%s, %v", raw, err)
	}
	var got []struct {
		Severity, Summary, Detail, File, Snippet string
		Line, Column                             int
	}
	if err := json.Unmarshal(raw, &got); err != nil || len(got) != 1 {
		t.Fatalf("%s, %v", raw, err)
	}
	if g := got[0]; g.Severity != "error" || g.Line != 2 || g.Column != 9 || g.Snippet != `url = "redis://:*******@h:port"` ||
		!strings.HasSuffix(g.File, "config.hcl") {
		t.Errorf("%+v", g)
	}
	if raw, _ = json.Marshal(Diagnostics{}); string(raw) != "[]" {
		t.Errorf("%s", raw)
	}
}

func TestManyDiagnosticsAreCut(t *testing.T) {
	_, diags := load(t, strings.Repeat("queue \"a\" {}\n", 300))
	if got := text(t, diags); !strings.HasSuffix(got, "… and 499 more.\n\n") {
		t.Error(got[len(got)-100:])
	}
}
