package redistest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TLSName is the one name, beside the address 127.0.0.1, that the server's certificate
// carries.
const TLSName = "redis.test"

// Certificates are files of PEM: an authority, and what a client shows of itself, which
// that authority signed.
type Certificates struct{ CA, Cert, Key string }

// WithTLS also listens with TLS on a free port of 127.0.0.1, with certificates made for
// this server alone. authClients is Redis' setting tls-auth-clients: "yes" demands a
// client's certificate, "no" asks for none, "optional" takes both.
func WithTLS(authClients string) Option {
	return func(s *Server) {
		s.tb.Helper()
		s.certs = Certificates{filepath.Join(s.dir, "ca.pem"), filepath.Join(s.dir, "client.pem"), filepath.Join(s.dir, "client.key")}
		cert, key := filepath.Join(s.dir, "server.pem"), filepath.Join(s.dir, "server.key")
		a := newAuthority(s.tb, s.certs.CA)
		a.sign(x509.ExtKeyUsageServerAuth, cert, key)
		a.sign(x509.ExtKeyUsageClientAuth, s.certs.Cert, s.certs.Key)
		s.tlsPort = freePort(s.tb)
		s.args = append(s.args, "--tls-port", fmt.Sprint(s.tlsPort), "--tls-auth-clients", authClients,
			"--tls-ca-cert-file", s.certs.CA, "--tls-cert-file", cert, "--tls-key-file", key)
	}
}

// TLS is the URL of the port that WithTLS opened.
func (s *Server) TLS() string { return fmt.Sprintf("rediss://127.0.0.1:%d/0", s.tlsPort) }

// Certificates are the files that WithTLS made for clients.
func (s *Server) Certificates() Certificates { return s.certs }

// authority signs certificates for one server and its clients.
type authority struct {
	tb   testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(tb testing.TB, path string) *authority {
	tb.Helper()
	a := &authority{tb: tb, cert: template("authority"), key: newKey(tb)}
	a.cert.IsCA, a.cert.BasicConstraintsValid = true, true
	a.cert.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, a.key.Public(), a.key)
	must(tb, err)
	writePEM(tb, path, "CERTIFICATE", der)
	return a
}

// sign writes a new key and the certificate for it.
func (a *authority) sign(usage x509.ExtKeyUsage, certPath, keyPath string) {
	a.tb.Helper()
	key, cert := newKey(a.tb), template("redistest")
	cert.KeyUsage, cert.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{usage}
	cert.IPAddresses, cert.DNSNames = []net.IP{net.IPv4(127, 0, 0, 1)}, []string{TLSName}
	der, err := x509.CreateCertificate(rand.Reader, cert, a.cert, key.Public(), a.key)
	must(a.tb, err)
	writePEM(a.tb, certPath, "CERTIFICATE", der)
	der, err = x509.MarshalPKCS8PrivateKey(key)
	must(a.tb, err)
	writePEM(a.tb, keyPath, "PRIVATE KEY", der)
}

// template is what all certificates have in common.
func template(name string) *x509.Certificate {
	now := time.Now()
	serial := big.NewInt(now.UnixNano())
	return &x509.Certificate{
		// with the serial, since authorities of one name are taken for one
		SerialNumber: serial, Subject: pkix.Name{CommonName: name, SerialNumber: serial.String()},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
	}
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(tb, err)
	return key
}

func writePEM(tb testing.TB, path, kind string, der []byte) {
	tb.Helper()
	must(tb, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
