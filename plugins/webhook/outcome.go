package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/throttlerd/throttlerd/pluginapi"
)

const (
	defaultSlowdown = 10 * time.Second // for a 429 that names no time
	minSlowdown     = time.Second
	maxSlowdown     = 24 * time.Hour
)

// outcome turns a reply into an error of the task; nil: delivered.
//
// A 503 without Retry-After is an upstream in trouble and not one that asks to
// slow down, so it is retried like any 5xx; a 429 always throttles.
func (w *webhook) outcome(req *http.Request, resp *http.Response, body []byte) error {
	if delivered(resp) {
		return nil
	}
	err := describeError(req, errors.New(resp.Status+excerpt(body)))
	delay, asked := retryAfter(resp.Header.Get("Retry-After"), time.Now())
	switch s := resp.StatusCode; {
	case s == http.StatusTooManyRequests && !asked:
		return pluginapi.ThrottledLimit(w.settings.Limit, untilReset(resp.Header, time.Now()), err)
	case s == http.StatusTooManyRequests, s == http.StatusServiceUnavailable && asked:
		return pluginapi.ThrottledLimit(w.settings.Limit, delay, err)
	case s == http.StatusRequestTimeout, s == http.StatusTooEarly, s >= 500:
		return err
	}
	return pluginapi.Permanent(err)
}

// excerpt is the beginning of what an upstream says of a failure.
func excerpt(body []byte) string {
	text := strings.ToValidUTF8(string(body[:min(len(body), maxExcerpt)]), "")
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	if text == "" {
		return ""
	}
	if len(body) > maxExcerpt {
		text += "…"
	}
	return ": " + text
}

// retryAfter reads a Retry-After header: seconds or a date, within bounds. It
// tells whether the header named a time.
func retryAfter(header string, now time.Time) (time.Duration, bool) {
	if seconds, err := strconv.ParseUint(header, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		seconds = min(seconds, uint64(maxSlowdown/time.Second))
		return max(time.Duration(seconds)*time.Second, minSlowdown), true
	}
	if date, err := http.ParseTime(header); err == nil {
		return min(max(date.Sub(now), minSlowdown), maxSlowdown), true
	}
	return 0, false
}

// untilReset is how long to wait after a 429 that says so in the headers of its limits
// alone.
func untilReset(h http.Header, now time.Time) time.Duration {
	var longest time.Duration
	for _, q := range quotas(h, now) {
		if q.remaining == 0 {
			longest = max(longest, q.reset)
		}
	}
	if longest == 0 {
		return defaultSlowdown
	}
	return min(max(longest, minSlowdown), maxSlowdown)
}

// unreachable turns an error of the network into one of the task.
func (w *webhook) unreachable(ctx context.Context, req *http.Request, err error) error {
	if refused, ok := errors.AsType[*refusedError](err); ok {
		return pluginapi.Permanent(describeError(req, refused))
	}
	if cause := context.Cause(ctx); cause != nil {
		if errors.Is(cause, context.DeadlineExceeded) {
			cause = fmt.Errorf("no reply within %s", w.settings.Timeout)
		}
		return describeError(req, cause)
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	return describeError(req, err)
}

// describeError says what was asked for, without path and query of the URL: with many a
// service they are a secret.
func describeError(req *http.Request, err error) error {
	return fmt.Errorf("%s %s://%s: %w", req.Method, req.URL.Scheme, req.URL.Host, err)
}
