package main

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/pluginapi/plugintest"
)

func post(t *testing.T, reply http.HandlerFunc, payload string) plugintest.Result {
	t.Helper()
	server := httptest.NewServer(reply)
	defer server.Close()
	return plugintest.Run(t, &webhook{}, map[string]any{"url": server.URL + "/hook?token=secret"},
		pluginapi.Task{Payload: []byte(payload)})
}

func TestDelivery(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Method != http.MethodPost || r.Header.Get("X-Team") != "blue" || r.Header.Get("Content-Type") != "text/plain" {
			t.Errorf("%s %v", r.Method, r.Header)
		}
		w.WriteHeader(http.StatusAccepted)
		w.Write(append([]byte("got "), body...))
	}))
	defer server.Close()
	config := map[string]any{
		"url":     server.URL,
		"headers": map[string]string{"X-Team": "blue", "content-type": "text/plain"},
	}
	r := plugintest.Run(t, &webhook{}, config, pluginapi.Task{Payload: []byte("hello")})
	if r.Outcome != pluginapi.Done || string(r.Result) != "got hello" {
		t.Errorf("%+v", r)
	}
}

func TestStatusBecomesOutcome(t *testing.T) {
	for _, c := range []struct {
		status     int
		retryAfter string
		want       pluginapi.Outcome
		delay      time.Duration
	}{
		{200, "", pluginapi.Done, 0},
		{204, "", pluginapi.Done, 0},
		{301, "", pluginapi.FailedForGood, 0},
		{400, "", pluginapi.FailedForGood, 0},
		{410, "", pluginapi.FailedForGood, 0},
		{408, "", pluginapi.Failed, 0},
		{425, "", pluginapi.Failed, 0},
		{500, "", pluginapi.Failed, 0},
		{502, "5", pluginapi.Failed, 0},
		{503, "", pluginapi.Failed, 0},
		{503, "7", pluginapi.SlowedDown, 7 * time.Second},
		{429, "3", pluginapi.SlowedDown, 3 * time.Second},
		{429, "", pluginapi.SlowedDown, defaultSlowdown},
		{429, "soon", pluginapi.SlowedDown, defaultSlowdown},
		{429, "0", pluginapi.SlowedDown, minSlowdown},
	} {
		r := post(t, func(w http.ResponseWriter, _ *http.Request) {
			if c.retryAfter != "" {
				w.Header().Set("Retry-After", c.retryAfter)
			}
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(c.status)
		}, "{}")
		if r.Outcome != c.want || r.Delay != c.delay {
			t.Errorf("%d with Retry-After %q: %s after %s (%s)", c.status, c.retryAfter, r.Outcome, r.Delay, r.Err)
		}
		if strings.Contains(r.Err, "secret") {
			t.Errorf("the query is told: %q", r.Err)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		header string
		want   time.Duration
		asked  bool
	}{
		{"120", 2 * time.Minute, true},
		{"Fri, 01 May 2026 12:00:30 GMT", 30 * time.Second, true},
		{"Fri, 01 May 2026 11:00:00 GMT", minSlowdown, true},
		{"99999999", maxSlowdown, true},
		{"99999999999999999999999", maxSlowdown, true},
		{"-5", defaultSlowdown, false},
		{"", defaultSlowdown, false},
	} {
		if d, asked := retryAfter(c.header, now); d != c.want || asked != c.asked {
			t.Errorf("%q: %s, %v", c.header, d, asked)
		}
	}
}

func TestBigReplyIsCut(t *testing.T) {
	r := post(t, func(w http.ResponseWriter, _ *http.Request) {
		for range 100 {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return // the rest is not wanted
			}
		}
	}, "{}")
	if r.Outcome != pluginapi.Done || len(r.Result) != maxBody || !r.Truncated {
		t.Errorf("%s, %d bytes, truncated %v", r.Outcome, len(r.Result), r.Truncated)
	}
}

func TestTimeoutsAreRetried(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)

	config := map[string]any{"url": server.URL, "timeout": "50ms"}
	if r := plugintest.Run(t, &webhook{}, config, pluginapi.Task{}); r.Outcome != pluginapi.Failed || !strings.Contains(r.Err, "no reply within 50ms") {
		t.Errorf("%+v", r)
	}
	config["timeout"] = "1m"
	task := pluginapi.Task{Deadline: time.Now().Add(50 * time.Millisecond)}
	if r := plugintest.Run(t, &webhook{}, config, task); r.Outcome != pluginapi.Failed || !strings.Contains(r.Err, "task timed out") {
		t.Errorf("%+v", r)
	}
}

func TestUnreachableIsRetried(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	config := map[string]any{"url": "http://" + listener.Addr().String() + "/?token=secret"}
	r := plugintest.Run(t, &webhook{}, config, pluginapi.Task{})
	if r.Outcome != pluginapi.Failed || !strings.Contains(r.Err, "connection refused") || strings.Contains(r.Err, "secret") {
		t.Errorf("%+v", r)
	}
}

func TestNoProxyFromTheEnvironment(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	if newClient().Transport.(*http.Transport).Proxy != nil {
		t.Error("a proxy")
	}
}

func TestBadConfig(t *testing.T) {
	for _, c := range []struct {
		config    string
		attribute string
		message   string
	}{
		{`{}`, "url", "is required and missing"},
		{`{"url": ""}`, "url", "must be absolute"},
		{`{"url": "ftp://x/"}`, "url", "must be absolute"},
		{`{"url": "http://a b/"}`, "url", "is not a URL"},
		{`{"url": "https://u:p@x/"}`, "url", "must not hold a user name"},
		{`{"url": "https://x/", "timeout": "0s"}`, "timeout", "more than 0"},
		{`{"url": "https://x/", "timeuot": "5s"}`, "timeuot", `did you mean "timeout"?`},
		{`{"url": "https://x/", "headers": {"Bad Name": "x"}}`, "headers", "is no name of a header"},
		{`{"url": "https://x/", "headers": {"X": "a\nb"}}`, "headers", "may not"},
		{`{"url": "https://x/", "headers": {"host": "y"}}`, "headers", "cannot be set"},
	} {
		err := plugintest.Configure(t, &webhook{}, c.config)
		attr, ok := errors.AsType[*pluginapi.AttributeError](err)
		if !ok || attr.Attribute != c.attribute || !strings.Contains(attr.Message, c.message) {
			t.Errorf("%s: %v", c.config, err)
		}
	}
}
