// Package daemon is throttlerd as a library: it turns a Config into a running worker.
// It owns the order of the start (Redis, its warnings, plugins, declared queues, then
// the first claim) and knows no flags and no exit codes.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/throttlerd/throttlerd/runtime"
	"github.com/throttlerd/throttlerd/runtime/config"
	"github.com/throttlerd/throttlerd/runtime/declaration"
	"github.com/throttlerd/throttlerd/runtime/pluginhost"
	"github.com/throttlerd/throttlerd/scheduler"
)

// Options of Run.
type Options struct {
	Config   *config.Config
	Pools    []string // as runtime.Options
	Queues   []string // as runtime.Options
	Version  string
	Log      hclog.Logger
	Patience time.Duration   // how long the start waits for Redis; 10s when 0
	Hurry    <-chan struct{} // cuts the drain short
	Reload   <-chan *config.Config
	Ready    func(worker string)

	// Ephemeral: Redis is there for trying out, and nobody expects it to keep data.
	Ephemeral bool
}

// DurabilityError says why durability = "strict" refuses a Redis.
type DurabilityError struct{ Warnings []string }

func (e *DurabilityError) Error() string {
	return `durability is "strict": ` + strings.Join(e.Warnings, "; ")
}

// Run serves until ctx ends and everything is drained. An error means that it did not
// start, or that the drain left something behind.
func Run(ctx context.Context, o Options) error {
	client, closeRedis, err := Connect(o.Config)
	if err != nil {
		return err
	}
	defer closeRedis()
	if err := waitReady(ctx, client, o); err != nil {
		return err
	}
	if !o.Ephemeral {
		if err := checkDurability(ctx, client, o); err != nil {
			return err
		}
	}
	dir, removeDir, err := newRunDir()
	if err != nil {
		return err
	}
	defer removeDir()
	reloading, stopReloading := context.WithCancel(ctx)
	defer stopReloading()
	var w *runtime.Worker
	w, err = runtime.New(runtime.Options{
		Client: client, Handlers: Handlers(o.Config, dir), Pools: o.Pools, Queues: o.Queues, Concurrency: o.Config.Concurrency,
		Lease: o.Config.Lease, Lookahead: lookahead(o.Config), DrainTimeout: o.Config.DrainTimeout, Hurry: o.Hurry,
		Version: o.Version, ConfigHash: o.Config.Hash(), Log: o.Log, Ready: o.Ready,
		Start: func(ctx context.Context) error {
			if err := client.Apply(ctx, declaration.Of(o.Config)); err != nil {
				return err
			}
			if o.Reload != nil { // not before: what a reload has brought must not be undone by the start
				go reload(reloading, client, w, o, dir)
			}
			return nil
		},
	})
	if err != nil {
		return err
	}
	return w.Run(ctx)
}

// checkDurability warns of a Redis that may lose tasks, or refuses it.
func checkDurability(ctx context.Context, client *scheduler.Client, o Options) error {
	warnings, err := client.Warnings(ctx)
	if err != nil {
		return err
	}
	if len(warnings) > 0 && o.Config.Durability == config.DurabilityStrict {
		return &DurabilityError{warnings}
	}
	for _, w := range warnings {
		o.Log.Warn(w)
	}
	return nil
}

// waitReady waits for Redis; while it loads its data, as long as that takes.
func waitReady(ctx context.Context, client *scheduler.Client, o Options) error {
	if o.Patience == 0 {
		o.Patience = 10 * time.Second
	}
	for {
		waiting, cancel := context.WithTimeout(ctx, o.Patience)
		err := client.WaitReady(waiting)
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
		if !scheduler.IsLoading(err) {
			return explain(o.Config.Redis.Where(), err)
		}
		o.Log.Info("redis is loading its data")
	}
}

// explain adds to what Redis, or nobody, answered where that was and what to do. The
// address of a Config has no password in it.
func explain(url string, err error) error {
	var away *scheduler.UnreachableError
	switch {
	case errors.As(err, &away):
		return fmt.Errorf("redis at %s is not reachable: %w; start it, or name another one with %s or in the configuration file", url, err, config.EnvRedisURL)
	case strings.HasPrefix(err.Error(), "NOAUTH"), strings.HasPrefix(err.Error(), "WRONGPASS"):
		return fmt.Errorf("redis at %s: %w; user and password go into %s or the configuration file", url, err, config.EnvRedisURL)
	}
	return fmt.Errorf("redis at %s: %w", url, err)
}

// Connect returns a client for the config's Redis and what closes it. It does not
// wait for Redis to answer.
func Connect(c *config.Config) (*scheduler.Client, func() error, error) {
	ro := scheduler.RedisOptions{
		URL: c.Redis.URL, Cluster: c.Redis.Cluster, Username: c.Redis.Username, Password: c.Redis.Password, TLS: c.Redis.Encrypted(),
		Asleep: true,
	}
	if s := c.Redis.Sentinel; s != nil {
		ro.Master, ro.Sentinels = s.Master, s.Addresses
	}
	if t := c.Redis.TLS; t != nil {
		ro.CAFile, ro.CertFile, ro.KeyFile, ro.Server = t.CAFile, t.CertFile, t.KeyFile, t.ServerName
	}
	rdb, err := scheduler.Dial(ro)
	if err != nil {
		return nil, nil, err
	}
	client, err := scheduler.New(rdb, scheduler.Options{Namespace: c.Namespace, MaxPayload: c.MaxPayload})
	if err != nil {
		rdb.Close()
		return nil, nil, err
	}
	return client, rdb.Close, nil
}

// Handlers are the config's handlers, to be run with their sockets in dir.
func Handlers(c *config.Config, dir string) map[string]runtime.Handler {
	out := make(map[string]runtime.Handler)
	for _, h := range c.Handlers {
		instances := h.Instances
		if h.Reattach != nil {
			instances = 1
		}
		out[h.Name] = runtime.Handler{Instances: instances, Concurrency: h.Concurrency, MaxCrashes: h.MaxCrashes, Plugin: spec(h, dir)}
	}
	return out
}

func spec(h config.Handler, dir string) pluginhost.Spec {
	s := pluginhost.Spec{
		Handler: h.Name, Path: h.Path, Args: h.Args, Env: h.Env, SHA256: h.SHA256, MTLS: h.MTLS,
		Config: h.Config, RunDir: dir, User: h.User, MemoryMax: int64(h.MemoryMax),
	}
	if at := h.Reattach; at != nil {
		s.Attach = &pluginhost.Attach{Network: at.Network, Address: at.Address, PID: at.PID}
	}
	return s
}

// lookahead in runtime's terms, where 0 is the default.
func lookahead(c *config.Config) time.Duration {
	if c.Lookahead == 0 {
		return -1
	}
	return c.Lookahead
}

// CheckPlugins starts the plugin of every handler once with its config block, and
// returns what they have against it as diagnostics at their lines.
func CheckPlugins(ctx context.Context, c *config.Config, log hclog.Logger) config.Diagnostics {
	var all config.Diagnostics
	for _, h := range c.Handlers {
		s := spec(h, "")
		s.Log = log
		p, err := pluginhost.Start(ctx, s, pluginhost.Sink{})
		if err != nil {
			all = all.Append(StartDiagnostics(c, h.Name, err))
			continue
		}
		p.Stop(ctx)
	}
	return all
}

// StartDiagnostics turns what kept a plugin from starting into diagnostics.
func StartDiagnostics(c *config.Config, handler string, err error) config.Diagnostics {
	if start, ok := errors.AsType[*pluginhost.StartError](err); ok {
		c.HideAttributes(handler, start.Secrets)
	}
	var refused pluginhost.ConfigErrors
	if !errors.As(err, &refused) {
		return c.HandlerStartDiagnostic(handler, err.Error())
	}
	var all config.Diagnostics
	for _, e := range refused {
		all = all.Append(c.HandlerDiagnostic(handler, e.Attribute, e.Message))
	}
	return all
}
