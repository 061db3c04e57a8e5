package main

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/throttlerd/throttlerd/runtime/config"
	"github.com/throttlerd/throttlerd/scheduler"
)

// settings returns what the command runs with: flags over environment over file over
// defaults. A file that was asked for must be there; ./config.hcl is used if it exists.
// Warnings of the file are throttlerd's to print.
func (a *app) settings() (*config.Config, error) {
	if a.loaded != nil {
		return a.loaded, nil
	}
	if a.timeout <= 0 {
		return nil, usagef("--timeout %s: must be more than 0", a.timeout)
	}
	if scheduler.HasPassword(a.redisURL) {
		return nil, usagef("--redis-url holds a password, which others could see in the list of processes; put it into THROTTLE_REDIS_PASSWORD, %s or the configuration file", config.EnvRedisURL)
	}
	cfg, err := a.file()
	if err != nil {
		return nil, err
	}
	if err := cfg.Override(config.Flags{RedisURL: a.redisURL, Namespace: a.namespace}, nil); err != nil {
		return nil, &usageError{err}
	}
	a.loaded = cfg
	return cfg, nil
}

func (a *app) file() (*config.Config, error) {
	path, chosen := config.Path(a.configPath, nil)
	if !chosen {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return config.Default(), nil
		}
	}
	// the plugins, and the secrets of handlers, are where the workers are
	cfg, diags := config.Load(path, config.Options{SkipPlugins: true, SkipValues: true})
	if err := diags.Err(); err != nil {
		return nil, err
	}
	return cfg, nil
}

// redisOptions are the connection's settings. Files for TLS belong to the address of
// the configuration file; over an address without TLS they change nothing.
func redisOptions(r config.Redis) scheduler.RedisOptions {
	o := scheduler.RedisOptions{URL: r.URL, Cluster: r.Cluster, Username: r.Username, Password: r.Password, TLS: r.Encrypted()}
	if s := r.Sentinel; s != nil {
		o.Master, o.Sentinels = s.Master, s.Addresses
	}
	if t := r.TLS; t != nil && r.Encrypted() {
		o.CAFile, o.CertFile, o.KeyFile, o.Server = t.CAFile, t.CertFile, t.KeyFile, t.ServerName
	}
	return o
}

// maxWait is the longest that a command waits for Redis to come up.
const maxWait = 10 * time.Second
