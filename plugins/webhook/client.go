package main

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/textproto"
	"time"
)

// newClient returns a client that follows no redirect, asks no proxy of the
// environment, and bounds what ctx of a delivery does not.
func newClient() *http.Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                  nil,
			DialContext:            dialer.DialContext,
			TLSHandshakeTimeout:    5 * time.Second,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
			MaxResponseHeaderBytes: 64 << 10,
			DisableCompression:     true, // a small body must not grow
			MaxIdleConnsPerHost:    64,
			IdleConnTimeout:        90 * time.Second,
			ForceAttemptHTTP2:      true,
		},
	}
}

func canonical(name string) string { return textproto.CanonicalMIMEHeaderKey(name) }
