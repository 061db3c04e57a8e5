package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/throttlerd/throttlerd/pluginapi"
)

// maxBody is how much of a reply's body becomes the result of the task.
const maxBody = 64 << 10

// webhook is the handler.
type webhook struct {
	config settings
	client *http.Client
}

// Describe names the plugin.
func (w *webhook) Describe() pluginapi.Info {
	return pluginapi.Info{Name: "webhook", Version: "1.0.0"}
}

// Configure checks the config block and sets the client up.
func (w *webhook) Configure(_ context.Context, c pluginapi.Config) error {
	config, err := decodeSettings(c)
	if err != nil {
		return err
	}
	w.config, w.client = config, newClient()
	return nil
}

// Handle posts the payload once. The body of a 2xx reply is the result.
func (w *webhook) Handle(ctx context.Context, t *pluginapi.Task) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, w.config.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.config.URL, bytes.NewReader(t.Payload))
	if err != nil {
		return nil, pluginapi.Permanent(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "throttlerd-webhook/1.0.0")
	for name, value := range w.config.Headers {
		req.Header.Set(name, value)
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return nil, w.unreachable(ctx, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1)) // one more, so that the cut is flagged
	if failure := w.outcome(resp); failure != nil {
		return nil, failure
	}
	if err != nil {
		return nil, fmt.Errorf("read the reply of POST %s: %w", w.config.shownURL(), err)
	}
	return body, nil
}
