// Command custom-handler is a handler plugin that routes by the type of a task: one
// queue takes emails and webhooks, and each type has a function of its own.
package main

import (
	"context"
	"fmt"

	"github.com/throttlerd/throttlerd/pluginapi"
)

func main() { pluginapi.Serve(handler()) }

func handler() pluginapi.Handler {
	info := pluginapi.Info{Name: "custom-handler", Version: "1.0.0", Doc: "sends emails and calls webhooks"}
	return pluginapi.WithInfo(info, pluginapi.Mux{
		"email":   pluginapi.Typed(email),
		"webhook": pluginapi.Typed(webhook),
	})
}

// settings is the config block; what is wrong in it is shown with its line.
type settings struct {
	From string `hcl:"from" doc:"sender of the emails"`
}

type mail struct {
	To      string `json:"to" required:"true" doc:"whom to send it to"`
	Subject string `json:"subject"`
}

func email(_ context.Context, s settings, t pluginapi.TaskOf[mail]) (string, error) {
	t.Log.Info("email", "to", t.Payload.To) // here goes the call of your mail server, with ctx
	return fmt.Sprintf("from %s to %s: %s", s.From, t.Payload.To, t.Payload.Subject), nil
}

type hook struct {
	URL string `json:"url" required:"true" doc:"what to call"`
}

func webhook(_ context.Context, _ struct{}, t pluginapi.TaskOf[hook]) (string, error) {
	t.Log.Info("webhook", "url", t.Payload.URL) // here goes the request, with ctx
	return "called " + t.Payload.URL, nil
}
