package scheduler

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// DefaultRedisURL is used where none is given.
const DefaultRedisURL = "redis://127.0.0.1:6379/0"

// RedisOptions says which Redis to speak to.
type RedisOptions struct {
	// URL is redis://, rediss:// or unix://; DefaultRedisURL when it and the next two are
	// empty.
	URL string
	// Cluster are nodes of a Redis Cluster, "host:port": one that answers tells the rest.
	Cluster []string
	// Sentinels, "host:port", tell which Redis is the master of the name Master.
	Sentinels []string
	Master    string

	Username string // over the one in the URL
	Password string // over the one in the URL
	// TLS encrypts the connections to a Cluster, to Sentinels and what they name; a URL says
	// so itself. The following refine it, and are ignored without it.
	TLS      bool
	CAFile   string // PEM; the system's authorities when empty
	CertFile string // client certificate, with KeyFile
	KeyFile  string
	Server   string // name that the server's certificate must carry

	// Asleep has who waits for an answer sleep at once. It is for a program that serves tasks:
	// its handlers or plugins need the cores while Redis is at an answer.
	Asleep bool
}

// String shows the address and the user, and of a password only that there is one.
func (o RedisOptions) String() string {
	s := SafeURL(o.URL)
	switch {
	case len(o.Cluster) > 0:
		s = "cluster " + strings.Join(o.Cluster, ", ")
	case len(o.Sentinels) > 0:
		s = fmt.Sprintf("master %q of sentinels %s", o.Master, strings.Join(o.Sentinels, ", "))
	}
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

// Of every connection.
const (
	dialTimeout = 2 * time.Second
	callTimeout = 5 * time.Second
	// reload is how often a client of a cluster looks who is master of what: a death is
	// noticed by nothing else.
	reload = time.Second
)

// Dial returns a connection pool with the settings that the scheduler needs: no call
// is repeated behind its back, and a context ends a call in time. On Linux, at a URL without
// TLS, a goroutine that alone waits for an answer looks for it for 0.1 ms before it sleeps, as
// long as answers come in that time: from a Redis on the same machine. See Asleep. It does
// not connect.
func Dial(o RedisOptions) (redis.UniversalClient, error) {
	switch {
	case len(o.Cluster) > 0 && len(o.Sentinels) > 0, o.URL != "" && len(o.Cluster)+len(o.Sentinels) > 0:
		return nil, &InvalidError{What: "redis options", Reason: "name more than one of a URL, a cluster and sentinels"}
	case len(o.Cluster) > 0:
		return dialCluster(o)
	case len(o.Sentinels) > 0:
		return dialSentinels(o)
	}
	return dialURL(o)
}

func dialURL(o RedisOptions) (redis.UniversalClient, error) {
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
	opt.DialTimeout = dialTimeout
	opt.DialerRetries = 1
	opt.ReadTimeout = callTimeout
	opt.WriteTimeout = callTimeout
	if opt.TLSConfig == nil && !o.Asleep {
		opt.Dialer = promptly(opt.NewDialer())
	}
	return redis.NewClient(opt), nil
}

func dialCluster(o RedisOptions) (redis.UniversalClient, error) {
	secure, err := ownTLS(o)
	if err != nil {
		return nil, err
	}
	return redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: o.Cluster, Username: o.Username, Password: o.Password, TLSConfig: secure,
		MaxRetries: -1, ClusterStateReloadInterval: reload, DisableRoutingPolicies: true,
		ContextTimeoutEnabled: true, DisableIdentity: true, DialTimeout: dialTimeout, DialerRetries: 1, ReadTimeout: callTimeout, WriteTimeout: callTimeout,
	}), nil
}

func dialSentinels(o RedisOptions) (redis.UniversalClient, error) {
	if o.Master == "" {
		return nil, &InvalidError{What: "redis options", Reason: "sentinels need the name of the master that they watch"}
	}
	secure, err := ownTLS(o)
	if err != nil {
		return nil, err
	}
	return redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName: o.Master, SentinelAddrs: o.Sentinels, Username: o.Username, Password: o.Password, TLSConfig: secure,
		MaxRetries: -1, ContextTimeoutEnabled: true, DisableIdentity: true, DialTimeout: dialTimeout, DialerRetries: 1, ReadTimeout: callTimeout, WriteTimeout: callTimeout,
	}), nil
}

// ownTLS is for connections that no URL describes.
func ownTLS(o RedisOptions) (*tls.Config, error) {
	if !o.TLS {
		return nil, nil
	}
	return tlsConfig(&tls.Config{}, o)
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
