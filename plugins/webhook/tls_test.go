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
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
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

// pass passes a connection on to a server; from the cut on, what comes from either end is
// lost, and both ends stand.
func pass(conn net.Conn, to string, cut <-chan struct{}) {
	server, err := net.Dial("tcp", to)
	if err != nil {
		conn.Close()
		return
	}
	one := func(dst, src net.Conn) {
		defer dst.Close()
		buf := make([]byte, 32<<10)
		for {
			n, err := src.Read(buf)
			if err != nil {
				return
			}
			select {
			case <-cut:
			default:
				dst.Write(buf[:n])
			}
		}
	}
	go one(server, conn)
	go one(conn, server)
}

// A connection of HTTP/2 whose other end fell silent is given up while deliveries go on: those
// that follow get a new one.
func TestSilentConnectionIsGivenUp(t *testing.T) {
	t.Parallel()
	to, ca := tlsServer(t, func(*tls.Config) {})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cut := make(chan struct{})
	go func() {
		lost := (<-chan struct{})(cut) // for the first connection alone
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			pass(conn, strings.TrimPrefix(to, "https://"), lost)
			lost = nil
		}
	}()
	h := &webhook{}
	if err := plugintest.Configure(t, h, local("https://"+l.Addr().String(), "ca_file", ca, "timeout", "500ms")); err != nil {
		t.Fatal(err)
	}
	deliver := func() pluginapi.Result { return pluginapi.Execute(t.Context(), h, &pluginapi.Task{ID: "a"}, nil) }
	if r := deliver(); r.Outcome != pluginapi.Done || !strings.Contains(string(r.Result), "HTTP/2.0") {
		t.Fatalf("%+v", r)
	}
	close(cut)
	failed := 0
	for began := time.Now(); deliver().Outcome != pluginapi.Done; failed++ {
		if time.Since(began) > 4*silence {
			t.Fatalf("%d deliveries have failed on it", failed)
		}
	}
	t.Logf("%d deliveries failed", failed)
	if failed == 0 {
		t.Error("no delivery was lost with the connection")
	}
}
