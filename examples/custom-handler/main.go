// Command custom-handler is a handler plugin that routes by the type of a task: one
// queue takes emails and webhooks, and each type has a method of its own.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/throttlerd/throttlerd/pluginapi"
)

func main() { pluginapi.Serve(&handler{}) }

// handler has the attributes of its config block as fields.
type handler struct {
	From string `hcl:"from"`
}

var types = []string{"email", "webhook"}

// Describe names the types, for whoever starts the plugin by hand.
func (h *handler) Describe() pluginapi.Info {
	return pluginapi.Info{Name: "custom-handler", Version: "1.0.0", TaskTypes: types}
}

// Configure takes the config block; what is wrong in it is shown with its line.
func (h *handler) Configure(_ context.Context, c pluginapi.Config) error { return c.Decode(h) }

// Handle routes by the task's type. An error of a method is retried with the queue's
// backoff; a type that is unknown stays so, and the task is dead at once.
func (h *handler) Handle(ctx context.Context, t *pluginapi.Task) ([]byte, error) {
	switch t.Type {
	case "email":
		return h.email(ctx, t)
	case "webhook":
		return h.webhook(ctx, t)
	}
	return nil, pluginapi.Permanent(fmt.Errorf("unknown task type %q; the known types are %s", t.Type, strings.Join(types, ", ")))
}

func (h *handler) email(_ context.Context, t *pluginapi.Task) ([]byte, error) {
	var mail struct{ To, Subject string }
	if err := decode(t, &mail); err != nil {
		return nil, err
	}
	if mail.To == "" {
		return nil, pluginapi.Permanent(errors.New(`payload has no "to"`))
	}
	t.Log.Info("email", "to", mail.To) // here goes the call of your mail server, with ctx
	return fmt.Appendf(nil, "from %s to %s: %s", h.From, mail.To, mail.Subject), nil
}

func (h *handler) webhook(_ context.Context, t *pluginapi.Task) ([]byte, error) {
	var hook struct{ URL string }
	if err := decode(t, &hook); err != nil {
		return nil, err
	}
	if hook.URL == "" {
		return nil, pluginapi.Permanent(errors.New(`payload has no "url"`))
	}
	t.Log.Info("webhook", "url", hook.URL) // here goes the request, with ctx
	return fmt.Appendf(nil, "called %s", hook.URL), nil
}

// decode reads the payload. Bytes that don't fit never will.
func decode(t *pluginapi.Task, into any) error {
	if err := json.Unmarshal(t.Payload, into); err != nil {
		return pluginapi.Permanent(fmt.Errorf("payload: %w", err))
	}
	return nil
}
