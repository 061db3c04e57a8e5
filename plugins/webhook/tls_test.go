package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/pluginapi/plugintest"
)

// tlsServer is a server with a certificate for example.com, and the file of who signed it.
func tlsServer(t *testing.T, change func(*tls.Config)) (url, caFile string) {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Proto)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{}
	change(s.TLS)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL, writePEM(t, "CERTIFICATE", s.Certificate().Raw)
}

func writePEM(t *testing.T, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTLS(t *testing.T) {
	url, ca := tlsServer(t, func(*tls.Config) {})
	run := func(url string, more ...any) plugintest.Result {
		t.Helper()
		return plugintest.Run(t, &webhook{}, local(url, more...), pluginapi.Task{})
	}
	run(url, "ca_file", ca).Want(pluginapi.Done, "HTTP/2.0")
	run(url, "ca_file", ca, "server_name", "example.com").Want(pluginapi.Done, "HTTP/2.0")
	run(url).Want(pluginapi.Failed, "certificate signed by unknown authority")
	run(url, "ca_file", ca, "server_name", "other.test").Want(pluginapi.Failed, "not other.test")

	old, oldCA := tlsServer(t, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS11 })
	run(old, "ca_file", oldCA).Want(pluginapi.Failed, "protocol version")
}

func TestClientCertificate(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	url, ca := tlsServer(t, func(c *tls.Config) {
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		c.ClientCAs.AddCert(cert)
	})
	config := local(url, "ca_file", ca, "cert_file", writePEM(t, "CERTIFICATE", der), "key_file", writePEM(t, "PRIVATE KEY", keyDER))
	plugintest.Run(t, &webhook{}, config, pluginapi.Task{}).Want(pluginapi.Done, "HTTP/2.0")
	plugintest.Run(t, &webhook{}, local(url, "ca_file", ca), pluginapi.Task{}).Want(pluginapi.Failed, "POST https:")
}
