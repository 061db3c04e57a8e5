package main

import (
	"strings"
	"testing"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/pluginapi/plugintest"
)

func TestHandle(t *testing.T) {
	for _, c := range []struct {
		kind, payload string
		outcome       pluginapi.Outcome
		text          string // in the result, or in the error
	}{
		{"email", `{"to":"ann@example.com","subject":"hi"}`, pluginapi.Done, "from shop@example.com to ann@example.com: hi"},
		{"email", `{"subject":"hi"}`, pluginapi.FailedForGood, `payload has no "to"`},
		{"webhook", `{"url":"https://example.com/hook"}`, pluginapi.Done, "called https://example.com/hook"},
		{"webhook", `{}`, pluginapi.FailedForGood, `payload has no "url"`},
		{"webhook", `not JSON`, pluginapi.FailedForGood, "payload: invalid character"},
		{"fax", `{}`, pluginapi.FailedForGood, `unknown task type "fax"; the known types are email, webhook`},
		{"", `{}`, pluginapi.FailedForGood, `unknown task type ""`},
	} {
		t.Run(c.kind+" "+c.payload, func(t *testing.T) {
			task := pluginapi.Task{Type: c.kind, Payload: []byte(c.payload)}
			r := plugintest.Run(t, &handler{}, map[string]string{"from": "shop@example.com"}, task)
			if r.Outcome != c.outcome || !strings.Contains(string(r.Result)+r.Err, c.text) {
				t.Errorf("%s: %s%s", r.Outcome, r.Result, r.Err)
			}
		})
	}
}

func TestConfigWithoutFrom(t *testing.T) {
	if err := plugintest.Configure(t, &handler{}, nil); err == nil || !strings.Contains(err.Error(), "from") {
		t.Errorf("%v", err)
	}
}
