package main

import (
	"context"
	"net/http"
	"net/url"

	"github.com/throttlerd/throttlerd/pluginapi"
)

const version = "2.0.0"

// webhook is the handler.
type webhook struct {
	settings settings
	target   *url.URL // settings.URL
	secrets  [][]byte
	client   *http.Client
}

// Describe names the plugin.
func (w *webhook) Describe() pluginapi.Info {
	return pluginapi.Info{
		Name: "webhook", Version: version, Doc: "delivers each task as an HTTP request",
		Config: pluginapi.SchemaOf[settings](),
	}
}

// Handle delivers the task once.
func (w *webhook) Handle(ctx context.Context, t *pluginapi.Task) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, w.settings.Timeout)
	defer cancel()
	req, err := w.request(ctx, t)
	if err != nil {
		return nil, pluginapi.Permanent(err)
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return nil, w.unreachable(ctx, req, err)
	}
	defer resp.Body.Close()
	w.report(t, resp)
	body, err := readBody(resp)
	if err != nil { // the status tells what came of it, whatever became of the rest
		t.Log.Warn("the body of the reply cannot be read", "status", resp.StatusCode, "error", err)
	}
	if failure := w.outcome(req, resp, body); failure != nil {
		return nil, failure
	}
	return result(resp, body, err != nil), nil
}
