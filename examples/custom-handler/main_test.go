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
		{"email", `{"subject":"hi"}`, pluginapi.FailedForGood, `payload: "to" is required and missing`},
		{"webhook", `{"url":"https://example.com/hook"}`, pluginapi.Done, "called https://example.com/hook"},
		{"webhook", `{"url":7}`, pluginapi.FailedForGood, `payload: "url" must be a string, not a number`},
		{"webhook", `not JSON`, pluginapi.FailedForGood, "payload: it is not JSON"},
		{"fax", `{}`, pluginapi.FailedForGood, `unknown task type "fax"; the known types are email, webhook`},
		{"", `{}`, pluginapi.FailedForGood, `unknown task type ""`},
	} {
		t.Run(c.kind+" "+c.payload, func(t *testing.T) {
			task := pluginapi.Task{Type: c.kind, Payload: []byte(c.payload)}
			plugintest.Run(t, handler(), map[string]string{"from": "shop@example.com"}, task).Want(c.outcome, c.text)
		})
	}
}

func TestConfigWithoutFrom(t *testing.T) {
	if err := plugintest.Configure(t, handler(), nil); err == nil || !strings.Contains(err.Error(), "from") {
		t.Errorf("%v", err)
	}
}
