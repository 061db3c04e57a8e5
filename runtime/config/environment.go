package config

import (
	"fmt"
	"os"
)

// The environment variables that stand between flags and files.
const (
	EnvRedisURL  = "THROTTLE_REDIS_URL"
	EnvNamespace = "THROTTLE_NAMESPACE"
	EnvConfig    = "THROTTLE_CONFIG"
)

// DefaultPath is read when neither a flag nor the environment names a file.
const DefaultPath = "config.hcl"

// Path says which file or directory to load: the flag's, else THROTTLE_CONFIG's, else
// DefaultPath. chosen is false for the last: then it may be absent. lookup nil is
// os.LookupEnv. An empty value counts as unset, here and in ApplyEnv.
func Path(flag string, lookup func(string) (string, bool)) (path string, chosen bool) {
	if flag != "" {
		return flag, true
	}
	if v := lookupSet(lookup, EnvConfig); v != "" {
		return v, true
	}
	return DefaultPath, false
}

// ApplyEnv puts THROTTLE_REDIS_URL and THROTTLE_NAMESPACE over what the files say.
// Flags come after it: SetRedisURL, SetNamespace. lookup nil is os.LookupEnv. The
// Config is unchanged when there is an error.
func (c *Config) ApplyEnv(lookup func(string) (string, bool)) error {
	changed := *c
	if v := lookupSet(lookup, EnvNamespace); v != "" {
		if err := changed.SetNamespace(v); err != nil {
			return fmt.Errorf("%s: %w", EnvNamespace, err)
		}
	}
	if v := lookupSet(lookup, EnvRedisURL); v != "" {
		if err := changed.SetRedisURL(v); err != nil {
			return fmt.Errorf("%s: %w", EnvRedisURL, err)
		}
	}
	*c = changed
	return nil
}

// SetNamespace replaces the namespace, if it is a name.
func (c *Config) SetNamespace(s string) error {
	if err := CheckName("namespace", s); err != nil {
		return err
	}
	c.Namespace = s
	return nil
}

// SetRedisURL replaces the address together with user and password, so that the
// file's password is never sent to another server. The files of the tls block stay,
// for a rediss:// address.
func (c *Config) SetRedisURL(s string) error {
	r, err := ParseRedisURL(s)
	if err != nil {
		return err
	}
	r.TLS = c.Redis.TLS
	c.Redis = r
	return nil
}

func lookupSet(lookup func(string) (string, bool), name string) string {
	if lookup == nil {
		lookup = os.LookupEnv
	}
	v, _ := lookup(name)
	return v
}
