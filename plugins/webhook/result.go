package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"
)

const (
	// maxResult is how long a result may be, in all.
	maxResult = 64 << 10
	// maxDrain is how much of a body that nobody wants is read, so that its connection
	// can be used again.
	maxDrain = 256 << 10
)

// readBody returns the beginning of the body, inflated: one byte more than a result may
// have, so that a longer one is known. What a small body grows to is bounded by that.
func readBody(resp *http.Response) ([]byte, error) {
	body := io.Reader(resp.Body)
	switch encoding := strings.ToLower(resp.Header.Get("Content-Encoding")); encoding {
	case "", "identity":
	case "gzip":
		inflated, err := gzip.NewReader(resp.Body)
		if err == io.EOF {
			return nil, nil // no body at all
		}
		if err != nil {
			return nil, fmt.Errorf("the reply is not gzip as it says: %w", err)
		}
		body = inflated
	default:
		return nil, fmt.Errorf("the reply is encoded as %q, which was not asked for", encoding)
	}
	text, err := io.ReadAll(io.LimitReader(body, maxResult+1))
	io.CopyN(io.Discard, resp.Body, maxDrain)
	return text, err
}

// kept are the headers of a reply that a result has.
var kept = []string{"Content-Type", "Location", "Etag", "Retry-After", "X-Request-Id", "Request-Id", "X-Correlation-Id", "Traceparent"}

// reply is the result of a task.
type reply struct {
	Status    int               `json:"status"`
	Headers   map[string]string `json:"headers"`
	Body      any               `json:"body"` // the JSON value, or text, or null
	Base64    []byte            `json:"body_base64,omitempty"`
	Truncated bool              `json:"body_truncated,omitempty"`
}

// result is what a delivery gave, at most maxResult bytes of JSON. torn says that more
// of the body could not be read.
func result(resp *http.Response, body []byte, torn bool) []byte {
	r := reply{Status: resp.StatusCode, Headers: map[string]string{}, Truncated: torn || len(body) > maxResult}
	for _, name := range kept {
		if v := resp.Header.Get(name); v != "" {
			r.Headers[strings.ToLower(name)] = strings.ToValidUTF8(v[:min(len(v), 1<<10)], "")
		}
	}
	body = body[:min(len(body), maxResult)]
	for {
		r.setBody(body)
		out := encode(r)
		if len(out) <= maxResult {
			return out
		}
		r.Truncated = true
		body = body[:min(len(body)-1, len(body)*(maxResult-512)/len(out))] // as much less as it is too long
	}
}

func (r *reply) setBody(body []byte) {
	r.Body, r.Base64 = nil, nil
	text := body
	if r.Truncated { // perhaps within a character
		text = bytes.TrimRightFunc(text, func(c rune) bool { return c == utf8.RuneError })
	}
	switch {
	case len(body) == 0:
	case !r.Truncated && json.Valid(body):
		r.Body = json.RawMessage(body)
	case utf8.Valid(text):
		r.Body = string(text)
	default:
		r.Base64 = body
	}
}

func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // of text, numbers and valid JSON
	}
	return bytes.TrimSpace(b.Bytes())
}
