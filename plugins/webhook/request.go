package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
)

// Headers of a task that replace what the config says, where allow_override lets them.
const (
	overrideURL    = "webhook-url"
	overrideMethod = "webhook-method"
	overrideHeader = "webhook-header-" // and the name of a header
)

// request makes the request of one attempt. An error is one that no retry can help.
func (w *webhook) request(ctx context.Context, t *pluginapi.Task) (*http.Request, error) {
	target, method, err := w.destination(t)
	if err != nil {
		return nil, err
	}
	body, contentType, err := w.body(t)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	h := req.Header
	h.Set("Content-Type", contentType)
	h.Set("User-Agent", "throttlerd-webhook/"+version)
	if target.Host == w.target.Host { // they may hold what is for that host alone
		for name, value := range w.settings.Headers {
			h.Set(name, value)
		}
	}
	if err := w.taskHeaders(h, t); err != nil {
		return nil, err
	}
	now := time.Now()
	h.Set("Accept-Encoding", "gzip")
	h.Set("Idempotency-Key", t.IdempotencyKey())
	h.Set("Webhook-Id", t.IdempotencyKey())
	h.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	if len(w.secrets) > 0 {
		h.Set("Webhook-Signature", signature(w.secrets, t.IdempotencyKey(), now, body))
	}
	return req, nil
}

// destination is where and how to deliver, the task's own word first.
func (w *webhook) destination(t *pluginapi.Task) (*url.URL, string, error) {
	target, method := w.target, w.settings.Method
	if raw, given := t.Headers[overrideURL]; given {
		if err := w.mayOverride("url", overrideURL); err != nil {
			return nil, "", err
		}
		var err error
		if target, err = parseTarget(raw); err != nil {
			return nil, "", fmt.Errorf("header %q of the task %w", overrideURL, err)
		}
	}
	if given, ok := t.Headers[overrideMethod]; ok {
		if err := w.mayOverride("method", overrideMethod); err != nil {
			return nil, "", err
		}
		if checkMethod(given) != nil {
			return nil, "", fmt.Errorf("header %q of the task is %q; it must be POST, PUT, PATCH, DELETE or GET", overrideMethod, given)
		}
		method = given
	}
	return target, method, nil
}

// taskHeaders adds those that the task sets.
func (w *webhook) taskHeaders(h http.Header, t *pluginapi.Task) error {
	for given, value := range t.Headers {
		name, ok := strings.CutPrefix(given, overrideHeader)
		if !ok {
			continue
		}
		if err := w.mayOverride("headers", given); err != nil {
			return err
		}
		if err := checkHeader(name, value); err != nil {
			return fmt.Errorf("header %q of the task: %w", given, err)
		}
		h.Set(name, value)
	}
	return nil
}

func (w *webhook) mayOverride(what, header string) error {
	if slices.Contains(w.settings.AllowOverride, what) {
		return nil
	}
	return fmt.Errorf("the task has the header %q, but allow_override of the handler does not hold %q", header, what)
}

// event is a CloudEvents 1.0 event in structured mode.
type event struct {
	SpecVersion string          `json:"specversion"`
	ID          string          `json:"id"`
	Source      string          `json:"source"`
	Type        string          `json:"type"`
	Subject     string          `json:"subject,omitempty"`
	Time        string          `json:"time,omitempty"`
	ContentType string          `json:"datacontenttype,omitempty"`
	Data        json.RawMessage `json:"data,omitempty"`
	DataBase64  []byte          `json:"data_base64,omitempty"`
}

func (w *webhook) body(t *pluginapi.Task) (body []byte, contentType string, err error) {
	isJSON := json.Valid(t.Payload)
	if w.settings.Envelope == "none" {
		if len(t.Payload) > 0 && !isJSON {
			return t.Payload, "application/octet-stream", nil
		}
		return t.Payload, "application/json", nil
	}
	e := event{SpecVersion: "1.0", ID: t.ID, Source: w.settings.Source, Type: t.Type, Subject: t.Key}
	if e.Source == "" {
		e.Source = "/queues/" + t.Queue
	}
	if e.Type == "" {
		e.Type = "task"
	}
	if !t.SubmittedAt.IsZero() {
		e.Time = t.SubmittedAt.UTC().Format(time.RFC3339Nano)
	}
	if isJSON {
		e.ContentType, e.Data = "application/json", t.Payload
	} else {
		e.DataBase64 = t.Payload
	}
	body, err = json.Marshal(e)
	return body, "application/cloudevents+json", err
}
