package config

import (
	"fmt"

	"github.com/throttlerd/throttlerd/internal/environ"
)

// The environment variables that stand between flags and files.
const (
	EnvRedisURL  = environ.RedisURL
	EnvNamespace = environ.Namespace
	EnvConfig    = environ.Config
)

// DefaultPath is read when neither a flag nor the environment names a file.
const DefaultPath = "config.hcl"

// Path says which file or directory to load: the flag's, else THROTTLE_CONFIG's, else
// DefaultPath. chosen is false for the last: then it may be absent. lookup nil is
// os.LookupEnv. An empty value counts as unset, here and in Override.
func Path(flag string, lookup environ.Lookup) (path string, chosen bool) {
	if flag != "" {
		return flag, true
	}
	if v := lookup.Get(EnvConfig); v != "" {
		return v, true
	}
	return DefaultPath, false
}

// Flags are what a command line says; empty is not given.
type Flags struct{ RedisURL, Namespace string }

// Override puts the environment (THROTTLE_NAMESPACE, THROTTLE_REDIS_…) over what the
// files say, and flags over both. An address replaces user and password of the one
// before it, so that a file's password is never sent to another server; user and
// password of variables of their own go with whatever address is in force. An error
// names what it is about; the Config is unchanged then.
func (c *Config) Override(f Flags, lookup environ.Lookup) error {
	changed := *c
	if err := changed.overrideNamespace(f, lookup); err != nil {
		return err
	}
	env, err := environ.ReadRedis(lookup)
	if err != nil {
		return err
	}
	if err := changed.Redis.override(f, env); err != nil {
		return err
	}
	*c = changed
	return nil
}

func (c *Config) overrideNamespace(f Flags, lookup environ.Lookup) error {
	from, name := "--namespace", f.Namespace
	if name == "" {
		from, name = EnvNamespace, lookup.Get(EnvNamespace)
	}
	if name == "" {
		return nil
	}
	if err := CheckName("namespace", name); err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	c.Namespace = name
	return nil
}

func (r *Redis) override(f Flags, env environ.Redis) error {
	from, address := "--redis-url", f.RedisURL
	if address == "" {
		from, address = EnvRedisURL, env.URL
	}
	if address != "" {
		next, err := ParseRedisURL(address)
		if err != nil {
			return fmt.Errorf("%s: %w", from, err)
		}
		if next.Username != "" && env.Username != "" {
			return fmt.Errorf("%s names a user, and %s another: take one of them out", from, environ.Username)
		}
		if next.Password != "" && env.Password != "" {
			return fmt.Errorf("%s holds a password, and %s or %s another: take one of them out", from, environ.Password, environ.PasswordFile)
		}
		next.TLS = r.TLS // for a rediss:// address
		*r = next
	}
	put(&r.Username, env.Username)
	put(&r.Password, env.Password)
	r.overrideTLS(env)
	return nil
}

// overrideTLS leaves an address without TLS as it is: its variables may be set for
// other programs of the machine.
func (r *Redis) overrideTLS(env environ.Redis) {
	if env.CAFile+env.CertFile+env.ServerName == "" || !r.Encrypted() {
		return
	}
	var t TLS
	if r.TLS != nil {
		t = *r.TLS
	}
	put(&t.CAFile, env.CAFile)
	put(&t.CertFile, env.CertFile)
	put(&t.KeyFile, env.KeyFile)
	put(&t.ServerName, env.ServerName)
	r.TLS = &t
}

func put(to *string, v string) {
	if v != "" {
		*to = v
	}
}
