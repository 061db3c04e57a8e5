package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"os"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
)

// maxIdle is how many connections to one host are kept: as many as tasks at once have a
// use for.
const maxIdle = 256

// silence: a connection of HTTP/2 on which nothing came for so long is asked whether the other
// end is there, and closed when it does not answer for as long. All deliveries to one host
// share it, and on one that a firewall has forgotten each would run into its timeout.
const silence = 5 * time.Second

// newClient returns a client that connects where g lets it, follows no redirect, asks no
// proxy of the environment, and bounds what the timeout of a delivery does not.
func newClient(g guard, secure *tls.Config) *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                  nil,
			DialContext:            g.dial,
			TLSHandshakeTimeout:    5 * time.Second,
			TLSClientConfig:        secure,
			MaxResponseHeaderBytes: 64 << 10,
			DisableCompression:     true, // readBody bounds what comes of it
			MaxIdleConns:           4 * maxIdle,
			MaxIdleConnsPerHost:    maxIdle,
			IdleConnTimeout:        90 * time.Second,
			ForceAttemptHTTP2:      true,
			HTTP2:                  &http.HTTP2Config{SendPingTimeout: silence, PingTimeout: silence},
		},
	}
}

// tlsConfig reads the files of certificates.
func tlsConfig(s settings) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: s.ServerName}
	if s.CAFile != "" {
		pem, err := os.ReadFile(s.CAFile)
		if err != nil {
			return nil, pluginapi.BadAttribute("ca_file", err.Error())
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, pluginapi.BadAttribute("ca_file", "holds no certificate in PEM")
		}
	}
	if s.CertFile == "" && s.KeyFile == "" {
		return c, nil
	}
	if s.CertFile == "" || s.KeyFile == "" {
		return nil, errors.New("cert_file and key_file belong together: set both or neither")
	}
	pair, err := tls.LoadX509KeyPair(s.CertFile, s.KeyFile)
	if err != nil {
		return nil, pluginapi.BadAttribute("cert_file", "cannot be used with key_file: "+err.Error())
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}
