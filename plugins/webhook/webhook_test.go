package main

import (
	"compress/gzip"
	"crypto/rand"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/pluginapi/plugintest"
)

// local is a config block that may deliver to this machine.
func local(url string, more ...any) map[string]any {
	config := map[string]any{"url": url, "allow_cidrs": []string{"127.0.0.0/8"}}
	for i := 0; i < len(more); i += 2 {
		config[more[i].(string)] = more[i+1]
	}
	return config
}

func post(t *testing.T, reply http.HandlerFunc, payload string, more ...any) plugintest.Result {
	t.Helper()
	server := httptest.NewServer(reply)
	defer server.Close()
	return plugintest.Run(t, &webhook{}, local(server.URL+"/hook?token=secret", more...),
		pluginapi.Task{ID: "order-4711", Payload: []byte(payload)})
}

func TestDelivery(t *testing.T) {
	r := post(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Method != http.MethodPut || r.Header.Get("X-Team") != "blue" || r.Header.Get("Content-Type") != "text/plain" || string(body) != "hello" ||
			r.Header.Get("Idempotency-Key") != "order-4711" || r.Header.Get("Webhook-Id") != "order-4711" || r.Header.Get("Webhook-Signature") != "" {
			t.Errorf("%s %v %q", r.Method, r.Header, body)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Request-Id", "7")
		w.Header().Set("Set-Cookie", "a=b")
		w.WriteHeader(http.StatusAccepted)
		w.Write([]byte(`{"ok": true}`))
	}, "hello", "method", "PUT", "headers", map[string]string{"X-Team": "blue", "content-type": "text/plain"})
	r.Want(pluginapi.Done, "")
	if want := `{"status":202,"headers":{"content-type":"application/json","x-request-id":"7"},"body":{"ok":true}}`; string(r.Result) != want {
		t.Errorf("%s, want %s", r.Result, want)
	}
}

func TestContentType(t *testing.T) {
	for payload, want := range map[string]string{`{"a":1}`: "application/json", "": "application/json", "\x00\xff": "application/octet-stream"} {
		post(t, func(_ http.ResponseWriter, r *http.Request) {
			if got := r.Header.Get("Content-Type"); got != want {
				t.Errorf("%q was sent as %s, not %s", payload, got, want)
			}
		}, payload).Want(pluginapi.Done, `"body":null`)
	}
}

func TestCloudEvents(t *testing.T) {
	at := time.Date(2026, 5, 1, 12, 0, 0, 500_000_000, time.UTC)
	for _, c := range []struct {
		task pluginapi.Task
		want string
	}{
		{pluginapi.Task{ID: "a", Queue: "mails", Type: "email", Key: "ann", Payload: []byte(`{"n": 1}`), SubmittedAt: at},
			`{"specversion":"1.0","id":"a","source":"/queues/mails","type":"email","subject":"ann","time":"2026-05-01T12:00:00.5Z","datacontenttype":"application/json","data":{"n":1}}`},
		{pluginapi.Task{ID: "b", Queue: "mails", Payload: []byte("\xff")},
			`{"specversion":"1.0","id":"b","source":"/queues/mails","type":"task","data_base64":"/w=="}`},
	} {
		var body []byte
		server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			body, _ = io.ReadAll(r.Body)
			if got := r.Header.Get("Content-Type"); got != "application/cloudevents+json" {
				t.Error(got)
			}
		}))
		plugintest.Run(t, &webhook{}, local(server.URL, "envelope", "cloudevents"), c.task).Want(pluginapi.Done, "200")
		server.Close()
		if string(body) != c.want {
			t.Errorf("%s, want %s", body, c.want)
		}
	}
}

func TestStatusBecomesOutcome(t *testing.T) {
	for _, c := range []struct {
		status  int
		headers string // name: value, one a line
		want    pluginapi.Outcome
		delay   time.Duration
	}{
		{200, "", pluginapi.Done, 0},
		{204, "", pluginapi.Done, 0},
		{301, "Location: /elsewhere", pluginapi.FailedForGood, 0},
		{400, "", pluginapi.FailedForGood, 0},
		{410, "", pluginapi.FailedForGood, 0},
		{408, "", pluginapi.Failed, 0},
		{425, "", pluginapi.Failed, 0},
		{500, "", pluginapi.Failed, 0},
		{502, "Retry-After: 5", pluginapi.Failed, 0},
		{503, "", pluginapi.Failed, 0},
		{503, "Retry-After: 7", pluginapi.SlowedDown, 7 * time.Second},
		{429, "Retry-After: 3", pluginapi.SlowedDown, 3 * time.Second},
		{429, "", pluginapi.SlowedDown, defaultSlowdown},
		{429, "Retry-After: soon", pluginapi.SlowedDown, defaultSlowdown},
		{429, "Retry-After: 0", pluginapi.SlowedDown, minSlowdown},
		{429, `RateLimit: "default";r=0;t=42`, pluginapi.SlowedDown, 42 * time.Second},
		{429, "X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 17", pluginapi.SlowedDown, 17 * time.Second},
		{429, "X-RateLimit-Remaining: 5\nX-RateLimit-Reset: 17", pluginapi.SlowedDown, defaultSlowdown},
	} {
		r := post(t, func(w http.ResponseWriter, _ *http.Request) {
			for line := range strings.Lines(c.headers) {
				name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
				w.Header().Set(name, value)
			}
			w.WriteHeader(c.status)
			if c.status >= 400 {
				w.Write([]byte("no\n such luck\x1b[2J"))
			}
		}, "{}", "limit", "github")
		if r.Outcome != c.want || r.Delay != c.delay || r.Outcome == pluginapi.SlowedDown && r.Limit != "github" {
			t.Errorf("%d with %s: %s of %q after %s (%s)", c.status, c.headers, r.Outcome, r.Limit, r.Delay, r.Err)
		}
		if strings.Contains(r.Err, "secret") || c.status >= 400 && !strings.HasSuffix(r.Err, ": no such luck [2J") {
			t.Errorf("%q", r.Err)
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
		{"-5", 0, false},
		{"", 0, false},
	} {
		if d, asked := retryAfter(c.header, now); d != c.want || asked != c.asked {
			t.Errorf("%q: %s, %v", c.header, d, asked)
		}
	}
}

// A body is cut at 64 KiB of result, what a small one inflates to as well.
func TestLongBodies(t *testing.T) {
	noise := make([]byte, 1<<20)
	rand.Read(noise)
	for name, c := range map[string]struct {
		gzip  bool
		write func(io.Writer)
	}{
		"text":           {false, func(w io.Writer) { io.WriteString(w, strings.Repeat("é", 1<<19)) }},
		"quotes":         {false, func(w io.Writer) { io.WriteString(w, strings.Repeat(`"`, 1<<17)) }},
		"noise":          {false, func(w io.Writer) { w.Write(noise) }},
		"a gzip bomb":    {true, func(w io.Writer) { io.CopyN(w, zeros{}, 1<<25) }},
		"JSON over size": {false, func(w io.Writer) { io.WriteString(w, `"`+strings.Repeat("x", 1<<17)+`"`) }},
	} {
		t.Run(name, func(t *testing.T) {
			r := post(t, func(w http.ResponseWriter, r *http.Request) {
				to := io.Writer(w)
				if c.gzip {
					if r.Header.Get("Accept-Encoding") != "gzip" {
						t.Error("gzip was not asked for")
					}
					w.Header().Set("Content-Encoding", "gzip")
					z, _ := gzip.NewWriterLevel(w, gzip.BestSpeed)
					defer z.Close()
					to = z
				}
				c.write(to)
			}, "{}")
			var out reply
			r.Decode(&out)
			if r.Outcome != pluginapi.Done || len(r.Result) > maxResult || len(r.Result) < maxResult/2 || !out.Truncated || r.Truncated || out.Status != 200 {
				t.Errorf("%s, %d bytes, cut %v and %v", r.Outcome, len(r.Result), out.Truncated, r.Truncated)
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestGzipReply(t *testing.T) {
	post(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		z.Write([]byte(`{"deep":1}`))
		z.Close()
	}, "{}").Want(pluginapi.Done, `"body":{"deep":1}`)
	post(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "br")
		w.Write([]byte("??"))
	}, "{}").Want(pluginapi.Done, `"body":null,"body_truncated":true`)
}

func TestTimeoutsAreRetried(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)

	plugintest.Run(t, &webhook{}, local(server.URL, "timeout", "50ms"), pluginapi.Task{}).Want(pluginapi.Failed, "no reply within 50ms")
	task := pluginapi.Task{Deadline: time.Now().Add(50 * time.Millisecond)}
	plugintest.Run(t, &webhook{}, local(server.URL, "timeout", "1m"), task).Want(pluginapi.Failed, "task timed out")
}

func TestUnreachableIsRetried(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	r := plugintest.Run(t, &webhook{}, local("http://"+listener.Addr().String()+"/?token=secret"), pluginapi.Task{})
	r.Want(pluginapi.Failed, "connection refused")
	if strings.Contains(r.Err, "secret") {
		t.Error(r.Err)
	}
}

func TestNoProxyFromTheEnvironment(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	if newClient(guard{}, nil).Transport.(*http.Transport).Proxy != nil {
		t.Error("a proxy")
	}
}

// Deliveries one after the other use one connection, also where nobody reads the body.
func TestConnectionsAreReused(t *testing.T) {
	connections := map[string]bool{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connections[r.RemoteAddr] = true
		w.WriteHeader(http.StatusBadGateway)
		w.Write(make([]byte, 200<<10))
	}))
	defer server.Close()
	w := &webhook{}
	raw, _ := json.Marshal(local(server.URL))
	c, err := pluginapi.NewConfig(raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Configure(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if r := pluginapi.Execute(t.Context(), w, &pluginapi.Task{}, nil); r.Outcome != pluginapi.Failed {
			t.Fatalf("%+v", r)
		}
	}
	if len(connections) != 1 {
		t.Errorf("%d connections for 20 deliveries", len(connections))
	}
}

// What a task may replace, and what not.
func TestOverrides(t *testing.T) {
	var got *http.Request
	record := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r })
	home, away := httptest.NewServer(record), httptest.NewServer(record)
	defer home.Close()
	defer away.Close()
	all := []string{"url", "method", "headers"}
	run := func(allow []string, headers map[string]string) plugintest.Result {
		t.Helper()
		got = nil
		config := local(home.URL+"/a", "allow_override", allow, "headers", map[string]string{"Authorization": "Bearer s3cret"})
		return plugintest.Run(t, &webhook{}, config, pluginapi.Task{Headers: headers})
	}

	run(all, map[string]string{"webhook-url": home.URL + "/b", "webhook-method": "DELETE", "webhook-header-X-One": "1", "other": "x"}).Want(pluginapi.Done, "200")
	if got.Method != "DELETE" || got.URL.Path != "/b" || got.Header.Get("X-One") != "1" || got.Header.Get("Authorization") == "" || got.Header.Get("Other") != "" {
		t.Errorf("%s %s %v", got.Method, got.URL, got.Header)
	}
	run(all, map[string]string{"webhook-url": away.URL}).Want(pluginapi.Done, "200")
	if got.Header.Get("Authorization") != "" {
		t.Error("what is for one host was sent to another")
	}
	for header, value := range map[string]string{"webhook-url": home.URL, "webhook-method": "PUT", "webhook-header-A": "b"} {
		run(nil, map[string]string{header: value}).Want(pluginapi.FailedForGood, "allow_override")
		if got != nil {
			t.Errorf("%s was delivered", header)
		}
	}
	for header, value := range map[string]string{
		"webhook-url": "ftp://x/", "webhook-method": "TRACE", "webhook-header-Host": "evil", "webhook-header-Transfer-Encoding": "chunked",
		"webhook-header-webhook-signature": "v1,x", "webhook-header-Bad Name": "x", "webhook-header-": "x", "webhook-header-Connection": "close", "webhook-id": "x",
	} {
		run(all, map[string]string{header: value}).Want(pluginapi.FailedForGood, header)
		if got != nil {
			t.Errorf("%s: %s was delivered", header, value)
		}
	}
	run(nil, map[string]string{"WEBHOOK-URL": home.URL}).Want(pluginapi.FailedForGood, "allow_override")
	twice := map[string]string{"webhook-header-X-A": "1", "webhook-header-x-a": "2"}
	run(all, twice).Want(pluginapi.FailedForGood, "twice")
	run(all, map[string]string{"webhook-url": "http://10.1.2.3/"}).Want(pluginapi.FailedForGood, "10.1.2.3 is not public")
}

// What is for one server goes to no other, however alike its name.
func TestOrigin(t *testing.T) {
	for text, want := range map[string]string{
		"https://Hooks.example.com/a": "https://hooks.example.com:443", "https://hooks.example.com:443": "https://hooks.example.com:443",
		"http://hooks.example.com/": "http://hooks.example.com:80", "https://hooks.example.com:8443/": "https://hooks.example.com:8443",
	} {
		u, err := parseTarget(text)
		if err != nil || origin(u) != want {
			t.Errorf("%s: %s, %v", text, origin(u), err)
		}
	}
}

// A 429 is passed on though its body never ends.
func TestFailureDoesNotWaitForItsBody(t *testing.T) {
	release := make(chan struct{})
	began := time.Now()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3")
		w.WriteHeader(http.StatusTooManyRequests)
		w.(http.Flusher).Flush()
		<-release
	}))
	defer server.Close()
	defer close(release)
	r := plugintest.Run(t, &webhook{}, local(server.URL, "timeout", "1m"), pluginapi.Task{})
	if r.Outcome != pluginapi.SlowedDown || r.Delay != 3*time.Second || time.Since(began) > 20*time.Second {
		t.Errorf("%s after %s", r.Outcome, time.Since(began))
	}
}

func TestBadConfig(t *testing.T) {
	for _, c := range []struct{ config, attribute, message string }{
		{`{}`, "url", "is required and missing"},
		{`{"url": ""}`, "url", "must be absolute"},
		{`{"url": "ftp://x/"}`, "url", "must be absolute"},
		{`{"url": "http://a b/"}`, "url", "is not a URL"},
		{`{"url": "https://u:p@x/"}`, "url", "must not hold a user name"},
		{`{"url": "https://10.0.0.1/"}`, "url", "allow_cidrs would have to name its network"},
		{`{"url": "https://0x7f.1/"}`, "url", "in disguise"},
		{`{"url": "https://x/", "timeout": "0s"}`, "timeout", "more than 0"},
		{`{"url": "https://x/", "timeuot": "5s"}`, "timeuot", `did you mean "timeout"?`},
		{`{"url": "https://x/", "method": "TRACE"}`, "method", "must be POST"},
		{`{"url": "https://x/", "envelope": "xml"}`, "envelope", "none or cloudevents"},
		{`{"url": "https://x/", "headers": {"Bad Name": "x"}}`, "headers", "is no name of a header"},
		{`{"url": "https://x/", "headers": {"X": "a\nb"}}`, "headers", "may not"},
		{`{"url": "https://x/", "headers": {"host": "y"}}`, "headers", "cannot be set"},
		{`{"url": "https://x/", "allow_override": ["body"]}`, "allow_override", "url, method and headers"},
		{`{"url": "https://x/", "allow_cidrs": ["10.0.0.1"]}`, "allow_cidrs", "is no network"},
		{`{"url": "https://x/", "allow_cidrs": ["::ffff:10.0.0.0/104"]}`, "allow_cidrs", "addresses of IPv4"},
		{`{"url": "https://x/", "allow_cidrs": ["64:ff9b::/96"]}`, "allow_cidrs", "addresses of IPv4"},
		{`{"url": "https://x/", "ca_file": "/no/such"}`, "ca_file", "no such file"},
		{`{"url": "https://x/", "cert_file": "/no/such", "key_file": "/no/such"}`, "cert_file", "cannot be used"},
		{`{"url": "https://x/", "cert_file": "/no/such"}`, "", "belong together"},
		{`{"url": "https://x/", "secret_file": "/no/such"}`, "secret_file", "no such file"},
		{`{"url": "https://x/", "secret_env": "NO_SUCH"}`, "secret_env", "is not set"},
		{`{"url": "https://x/", "secret_env": "NO_SUCH", "secret_file": "x"}`, "secret_env", "exclude each other"},
	} {
		err := plugintest.Configure(t, &webhook{}, c.config)
		if err == nil || !strings.Contains(err.Error(), c.message) || c.attribute != "" && !strings.Contains(err.Error(), `"`+c.attribute+`"`) {
			t.Errorf("%s: %v", c.config, err)
		}
	}
}

func TestDocumentHasEveryAttribute(t *testing.T) {
	page, err := os.ReadFile("../../docs/webhook.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range pluginapi.SchemaOf[settings]() {
		if a.Doc == "" || !strings.Contains(string(page), "`"+a.Name+"`") {
			t.Errorf("%s is not documented", a.Name)
		}
	}
}
