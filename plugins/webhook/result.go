package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// maxResult is how long a result may be, in all.
	maxResult = 64 << 10
	// maxDrain is how much of a body that nobody wants is read, so that its connection
	// can be used again.
	maxDrain = 256 << 10
	// maxExcerpt is how much of the body of a failure is told.
	maxExcerpt = 300
)

// readBody returns the beginning of the body, inflated: one byte more than is wanted of
// it, so that a longer one is known. What a small body grows to is bounded by that. A
// failure is not kept waiting for the words that come with it.
func readBody(resp *http.Response) ([]byte, error) {
	most := maxResult
	drain := func() *time.Timer { return time.AfterFunc(time.Second, func() { resp.Body.Close() }) }
	if !delivered(resp) {
		most = maxExcerpt
		defer drain().Stop()
	}
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
	text, err := io.ReadAll(io.LimitReader(body, int64(most)+1))
	defer drain().Stop()
	io.CopyN(io.Discard, resp.Body, maxDrain)
	return text, err
}

// delivered tells whether a reply says so.
func delivered(resp *http.Response) bool { return resp.StatusCode >= 200 && resp.StatusCode < 300 }

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
	if r.Truncated {
		text = wholeRunes(body)
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

// wholeRunes leaves out the beginning of a character at the end.
func wholeRunes(b []byte) []byte {
	for i := 1; i < utf8.UTFMax && i <= len(b); i++ {
		if tail := b[len(b)-i:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				return b[:len(b)-i]
			}
			break
		}
	}
	return b
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
