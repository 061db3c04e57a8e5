package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
)

const (
	defaultSlowdown = 10 * time.Second // for a 429 or 503 that names no time
	minSlowdown     = time.Second
	maxSlowdown     = 24 * time.Hour
)

// outcome turns an HTTP reply into an error of the task; nil: delivered.
//
// A 503 without Retry-After is an upstream in trouble and not one that asks to
// slow down, so it is retried like any 5xx; a 429 always throttles.
func (w *webhook) outcome(resp *http.Response) error {
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return nil
	}
	err := fmt.Errorf("POST %s: %s", w.config.shownURL(), resp.Status)
	delay, asked := retryAfter(resp.Header.Get("Retry-After"), time.Now())
	switch s := resp.StatusCode; {
	case s == http.StatusTooManyRequests, s == http.StatusServiceUnavailable && asked:
		return pluginapi.Throttled(delay, err)
	case s == http.StatusRequestTimeout, s == http.StatusTooEarly, s >= 500:
		return err
	}
	return pluginapi.Permanent(err)
}

// retryAfter reads a Retry-After header: seconds or a date, within bounds. It
// tells whether the header named a time; otherwise the time is the default.
func retryAfter(header string, now time.Time) (time.Duration, bool) {
	if seconds, err := strconv.ParseUint(header, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		seconds = min(seconds, uint64(maxSlowdown/time.Second))
		return max(time.Duration(seconds)*time.Second, minSlowdown), true
	}
	if date, err := http.ParseTime(header); err == nil {
		return min(max(date.Sub(now), minSlowdown), maxSlowdown), true
	}
	return defaultSlowdown, false
}

// unreachable turns an error of the network into one of the task, without the
// URL's query, which may hold a secret.
func (w *webhook) unreachable(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		if errors.Is(cause, context.DeadlineExceeded) {
			cause = fmt.Errorf("no reply within %s", w.config.Timeout)
		}
		return fmt.Errorf("POST %s: %w", w.config.shownURL(), cause)
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	return fmt.Errorf("POST %s: %w", w.config.shownURL(), err)
}
