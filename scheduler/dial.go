package scheduler

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/redis/go-redis/v9"
)

// DefaultRedisURL is used where none is given.
const DefaultRedisURL = "redis://127.0.0.1:6379/0"

// RedisOptions says which Redis to speak to.
type RedisOptions struct {
	URL      string // redis://, rediss:// or unix://; DefaultRedisURL when empty
	Username string // over the one in the URL
	Password string // over the one in the URL
	// The following refine a rediss:// URL; any other ignores them.
	CAFile   string // PEM; the system's authorities when empty
	CertFile string // client certificate, with KeyFile
	KeyFile  string
	Server   string // name that the server's certificate must carry
}

// String shows the address and the user, and of a password only that there is one.
func (o RedisOptions) String() string {
	s := SafeURL(o.URL)
	if o.Username != "" {
		s += fmt.Sprintf(" as user %q", o.Username)
	}
	if o.Password != "" {
		s += " with a password"
	}
	return s
}

// GoString is String: %#v must not print what %v hides.
func (o RedisOptions) GoString() string { return o.String() }

// Dial returns a connection pool with the settings that the scheduler needs: no call
// is repeated behind its back, and a context ends a call in time. It does not connect.
func Dial(o RedisOptions) (*redis.Client, error) {
	if o.URL == "" {
		o.URL = DefaultRedisURL
	}
	opt, err := redis.ParseURL(o.URL)
	if err != nil {
		// the error of the parser may quote the URL, and with it a password
		return nil, &InvalidError{What: "redis URL", Reason: "is not of the form redis://[user@]host:port/db, rediss://… or unix:///path?db=0"}
	}
	if o.Username != "" {
		opt.Username = o.Username
	}
	if o.Password != "" {
		opt.Password = o.Password
	}
	if opt.TLSConfig != nil { // of a rediss:// URL; another one has no use for the files
		if opt.TLSConfig, err = tlsConfig(opt.TLSConfig, o); err != nil {
			return nil, err
		}
	}
	opt.MaxRetries = -1
	opt.ContextTimeoutEnabled = true
	opt.DisableIdentity = true
	opt.DialTimeout = 2 * time.Second
	opt.DialerRetries = 1
	opt.ReadTimeout = 5 * time.Second
	opt.WriteTimeout = 5 * time.Second
	return redis.NewClient(opt), nil
}

func tlsConfig(base *tls.Config, o RedisOptions) (*tls.Config, error) {
	base.MinVersion = tls.VersionTLS12
	if o.Server != "" {
		base.ServerName = o.Server
	}
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("redis TLS authority: %w", err)
		}
		base.RootCAs = x509.NewCertPool()
		if !base.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("redis TLS authority: %s holds no PEM certificate", o.CAFile)
		}
	}
	if o.CertFile != "" || o.KeyFile != "" {
		if o.CertFile == "" || o.KeyFile == "" {
			return nil, errors.New("redis TLS: a client certificate needs both its file and its key's")
		}
		cert, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("redis TLS client certificate: %w", err)
		}
		base.Certificates = []tls.Certificate{cert}
	}
	return base, nil
}

// HasPassword tells whether the URL carries a password.
func HasPassword(rawURL string) bool {
	u, err := url.Parse(rawURL)
	if err != nil {
		return false
	}
	_, ok := u.User.Password()
	return ok
}

// SafeURL returns the URL without its password, for people and logs.
func SafeURL(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "(not a URL)"
	}
	return u.Redacted()
}
