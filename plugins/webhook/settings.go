package main

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/throttlerd/throttlerd/pluginapi"
)

// settings is the config block.
type settings struct {
	URL     string            `hcl:"url"`
	Headers map[string]string `hcl:"headers,optional"`
	Timeout time.Duration     `hcl:"timeout,optional"` // of one delivery, 15s
}

// reserved headers are the transport's, or would be ignored in silence.
var reserved = map[string]bool{
	"Host": true, "Content-Length": true, "Transfer-Encoding": true, "Connection": true,
	"Keep-Alive": true, "Te": true, "Trailer": true, "Upgrade": true, "Proxy-Connection": true,
	"Proxy-Authorization": true,
}

func decodeSettings(c pluginapi.Config) (settings, error) {
	s := settings{Timeout: 15 * time.Second}
	if err := c.Decode(&s); err != nil {
		return settings{}, err
	}
	return s, errors.Join(checkURL(s.URL), checkHeaders(s.Headers), checkTimeout(s.Timeout))
}

func checkURL(raw string) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return pluginapi.BadAttribute("url", "is not a URL: "+errors.Unwrap(err).Error())
	case (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "":
		return pluginapi.BadAttribute("url", `must be absolute, such as "https://hooks.example.com/deploy"`)
	case u.User != nil:
		return pluginapi.BadAttribute("url", "must not hold a user name or password; send them in a header")
	}
	return nil
}

func checkHeaders(headers map[string]string) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			errs = append(errs, pluginapi.BadAttribute("headers", fmt.Sprintf("%q is no name of a header", name)))
		case !httpguts.ValidHeaderFieldValue(headers[name]):
			errs = append(errs, pluginapi.BadAttribute("headers", fmt.Sprintf("the value of %q holds characters that a header may not", name)))
		case reserved[canonical(name)]:
			errs = append(errs, pluginapi.BadAttribute("headers", fmt.Sprintf("%q cannot be set", name)))
		}
	}
	return errors.Join(errs...)
}

func checkTimeout(d time.Duration) error {
	if d <= 0 {
		return pluginapi.BadAttribute("timeout", "must be more than 0")
	}
	return nil
}

// shownURL is the URL for errors and logs, without its query.
func (s settings) shownURL() string {
	u, err := url.Parse(s.URL)
	if err != nil {
		return "(bad URL)"
	}
	u.RawQuery, u.Fragment = "", ""
	return u.String()
}
