package scheduler

import (
	"github.com/throttlerd/throttlerd/internal/environ"
)

// OptionsFromEnv returns what the environment says, for Open: THROTTLE_NAMESPACE,
// THROTTLE_REDIS_URL, _USERNAME, _PASSWORD or _PASSWORD_FILE, _CA_FILE, _CERT_FILE,
// _KEY_FILE and _SERVER_NAME (each with THROTTLE_REDIS in front). What is unset or
// empty keeps its default; a field that the program sets afterwards takes precedence.
// An error names the variable.
func OptionsFromEnv() (Options, error) {
	env, err := environ.ReadRedis(nil)
	if err != nil {
		return Options{}, err
	}
	return Options{
		Namespace: environ.Lookup(nil).Get(environ.Namespace),
		Redis: RedisOptions{
			URL: env.URL, Username: env.Username, Password: env.Password,
			CAFile: env.CAFile, CertFile: env.CertFile, KeyFile: env.KeyFile, Server: env.ServerName,
		},
	}, nil
}

// Open returns a client on a connection of its own, which Close ends. It does not
// connect: see WaitReady.
func Open(o Options) (*Client, error) {
	rdb, err := Dial(o.Redis)
	if err != nil {
		return nil, err
	}
	c, err := New(rdb, o)
	if err != nil {
		rdb.Close()
		return nil, err
	}
	c.own = rdb
	return c, nil
}

// Close ends the connection that Open made. On a client of New it does nothing.
func (c *Client) Close() error {
	if c.own == nil {
		return nil
	}
	return c.own.Close()
}
