package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/throttlerd/throttlerd/pluginapi"
)

// settings is the config block.
type settings struct {
	URL     string            `hcl:"url" doc:"where to deliver to"`
	Method  string            `hcl:"method" default:"POST" doc:"POST, PUT, PATCH, DELETE or GET"`
	Headers map[string]string `hcl:"headers,optional" sensitive:"true" doc:"sent with each delivery to the server of url"`
	Timeout time.Duration     `hcl:"timeout" default:"15s" doc:"of one delivery"`

	Envelope string `hcl:"envelope" default:"none" doc:"none: the body is the payload; cloudevents: a CloudEvents 1.0 event around it"`
	Source   string `hcl:"source,optional" doc:"source of the CloudEvents; /queues/NAME without it"`

	SecretFile string `hcl:"secret_file,optional" doc:"file with one or two signing secrets (whsec_…), one a line"`
	SecretEnv  string `hcl:"secret_env,optional" doc:"variable of the handler's env with one or two of them"`

	AllowOverride []string `hcl:"allow_override,optional" doc:"what a task's headers may replace: url, method, headers"`
	Limit         string   `hcl:"limit" default:"queue" doc:"the limit that a slow-down of the upstream is about"`

	AllowCIDRs []string `hcl:"allow_cidrs,optional" doc:"networks to deliver to that are not public, such as 10.1.0.0/16"`
	CertFile   string   `hcl:"cert_file,optional" doc:"client certificate, PEM"`
	KeyFile    string   `hcl:"key_file,optional" doc:"its key, PEM"`
	CAFile     string   `hcl:"ca_file,optional" doc:"who may sign the server's certificate, PEM; the system's without it"`
	ServerName string   `hcl:"server_name,optional" doc:"name in the server's certificate, if not the host of url"`
}

// Configure checks the config block and sets up what deliveries share.
func (w *webhook) Configure(_ context.Context, c pluginapi.Config) error {
	var s settings
	if err := c.Decode(&s); err != nil {
		return err
	}
	secrets, secretErr := readSecrets(s)
	allowed, cidrErr := parseCIDRs(s.AllowCIDRs)
	target, urlErr := parseTarget(s.URL)
	if urlErr == nil {
		if addr, err := netip.ParseAddr(target.Hostname()); err == nil { // told before the first task
			urlErr = guard{allowed}.check(addr)
		}
	}
	if urlErr != nil {
		urlErr = pluginapi.BadAttribute("url", urlErr.Error())
	}
	tls, tlsErr := tlsConfig(s)
	err := errors.Join(urlErr, checkMethod(s.Method), checkHeaders(s.Headers), checkTimeout(s.Timeout), checkEnvelope(s.Envelope),
		secretErr, checkOverride(s.AllowOverride), cidrErr, tlsErr)
	if err != nil {
		return err
	}
	w.settings, w.target, w.secrets = s, target, secrets
	w.client = newClient(guard{allowed: allowed}, tls)
	return nil
}

// reserved headers are the transport's, or a delivery's own.
var reserved = map[string]bool{
	"Host": true, "Content-Length": true, "Transfer-Encoding": true, "Connection": true, "Accept-Encoding": true,
	"Keep-Alive": true, "Te": true, "Trailer": true, "Upgrade": true, "Proxy-Connection": true,
	"Proxy-Authorization": true, "Proxy-Authenticate": true, "Expect": true,
	"Webhook-Id": true, "Webhook-Timestamp": true, "Webhook-Signature": true, "Idempotency-Key": true,
}

// parseTarget reads a URL that may be delivered to, as far as its text tells.
func parseTarget(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("is not a URL") // what is wrong may quote a password
	}
	switch {
	case (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "":
		return nil, errors.New(`must be absolute, such as "https://hooks.example.com/deploy"`)
	case u.User != nil:
		return nil, errors.New("must not hold a user name or password; send them in a header")
	case disguised(u.Hostname()):
		return nil, fmt.Errorf("has the host %q, an address in disguise; write it as four decimal numbers, or the name", u.Hostname())
	}
	return u, nil
}

// disguised tells hosts that some resolvers read as an IPv4 address though they do not
// look like one, such as 2130706433 or 0x7f.1: those whose last label is a number.
func disguised(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return false
	}
	host = strings.TrimSuffix(host, ".")
	last := strings.ToLower(host[strings.LastIndex(host, ".")+1:])
	if strings.Trim(last, "0123456789") == "" {
		return true
	}
	digits, hex := strings.CutPrefix(last, "0x")
	return hex && strings.Trim(digits, "0123456789abcdef") == ""
}

func checkMethod(method string) error {
	switch method {
	case http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodGet:
		return nil
	}
	return pluginapi.BadAttribute("method", fmt.Sprintf("is %q; it must be POST, PUT, PATCH, DELETE or GET", method))
}

func checkHeaders(headers map[string]string) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		if err := checkHeader(name, headers[name]); err != nil {
			errs = append(errs, pluginapi.BadAttribute("headers", err.Error()))
		}
	}
	return errors.Join(errs...)
}

func checkHeader(name, value string) error {
	switch {
	case !httpguts.ValidHeaderFieldName(name):
		return fmt.Errorf("%q is no name of a header", name)
	case !httpguts.ValidHeaderFieldValue(value):
		return fmt.Errorf("the value of %q holds characters that a header may not", name)
	case reserved[http.CanonicalHeaderKey(name)]:
		return fmt.Errorf("%q cannot be set", name)
	}
	return nil
}

func checkTimeout(d time.Duration) error {
	if d <= 0 {
		return pluginapi.BadAttribute("timeout", "must be more than 0")
	}
	return nil
}

func checkEnvelope(name string) error {
	if name != "none" && name != "cloudevents" {
		return pluginapi.BadAttribute("envelope", fmt.Sprintf("is %q; it must be none or cloudevents", name))
	}
	return nil
}

func checkOverride(names []string) error {
	for _, name := range names {
		if name != "url" && name != "method" && name != "headers" {
			return pluginapi.BadAttribute("allow_override", fmt.Sprintf("holds %s; it may hold url, method and headers", strconv.Quote(name)))
		}
	}
	return nil
}

func parseCIDRs(texts []string) ([]netip.Prefix, error) {
	var list []netip.Prefix
	for _, text := range texts {
		p, err := netip.ParsePrefix(text)
		if err != nil || p != p.Masked() {
			return nil, pluginapi.BadAttribute("allow_cidrs", fmt.Sprintf("%q is no network, such as 10.1.0.0/16", text))
		}
		if p.Addr().Is4In6() || nat64.Overlaps(p) && p.Bits() >= nat64.Bits() {
			return nil, pluginapi.BadAttribute("allow_cidrs", fmt.Sprintf("%q stands for addresses of IPv4; write those", text))
		}
		list = append(list, p)
	}
	return list, nil
}
