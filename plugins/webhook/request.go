package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
)

// override is what the headers of a task replace of the config, where allow_override lets
// them.
type override struct {
	url, method string
	headers     map[string]string
}

// overrideOf reads the headers of a task that begin with webhook-: webhook-url,
// webhook-method, and webhook-header-NAME. Their case does not matter, as in HTTP.
func (w *webhook) overrideOf(t *pluginapi.Task) (override, error) {
	o := override{headers: map[string]string{}}
	for _, given := range slices.Sorted(maps.Keys(t.Headers)) {
		what, ours := strings.CutPrefix(strings.ToLower(given), "webhook-")
		if !ours {
			continue
		}
		value := t.Headers[given]
		name, isHeader := strings.CutPrefix(what, "header-")
		to := &o.url
		switch {
		case isHeader:
			what = "headers"
		case what == "method":
			to = &o.method
		case what != "url":
			return o, fmt.Errorf("the task has the header %q; known are webhook-url, webhook-method and webhook-header-NAME", given)
		}
		if !slices.Contains(w.settings.AllowOverride, what) {
			return o, fmt.Errorf("the task has the header %q, but allow_override of the handler does not hold %q", given, what)
		}
		if isHeader {
			if err := checkHeader(name, value); err != nil {
				return o, fmt.Errorf("header %q of the task: %w", given, err)
			}
			name = http.CanonicalHeaderKey(name)
		}
		_, twice := o.headers[name]
		if isHeader && twice || !isHeader && *to != "" {
			return o, fmt.Errorf("the task has the header %q twice, in letters of another case", given)
		}
		if isHeader {
			o.headers[name] = value
		} else {
			*to = value
		}
	}
	return o, nil
}

// request makes the request of one attempt. An error is one that no retry can help.
func (w *webhook) request(ctx context.Context, t *pluginapi.Task) (*http.Request, error) {
	o, err := w.overrideOf(t)
	if err != nil {
		return nil, err
	}
	target := w.target
	if o.url != "" {
		if target, err = parseTarget(o.url); err != nil {
			return nil, fmt.Errorf("header webhook-url of the task %w", err)
		}
	}
	method := cmp.Or(o.method, w.settings.Method)
	if err := checkMethod(method); err != nil {
		return nil, fmt.Errorf("header webhook-method of the task: %w", err)
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
	if origin(target) == origin(w.target) { // they may hold what is for that server alone
		for name, value := range w.settings.Headers {
			h.Set(name, value)
		}
	}
	for name, value := range o.headers {
		h.Set(name, value)
	}
	now, id := time.Now(), messageID(t.ID)
	h.Set("Accept-Encoding", "gzip")
	h.Set("Idempotency-Key", t.IdempotencyKey())
	h.Set("Webhook-Id", id)
	h.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	if len(w.secrets) > 0 {
		h.Set("Webhook-Signature", signature(w.secrets, id, now, body))
	}
	return req, nil
}

// origin is the server that a URL is of: scheme, host and port.
func origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
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
