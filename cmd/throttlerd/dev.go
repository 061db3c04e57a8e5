package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/spf13/cobra"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/runtime/config"
	"github.com/throttlerd/throttlerd/runtime/daemon"
)

func devCommand() *cobra.Command {
	var file, level string
	c := &cobra.Command{
		Use:   "dev [-c FILE]",
		Short: "Try it out: a worker with an embedded Redis, nothing to install",
		Long: "Runs a worker with an embedded, in-memory Redis on 127.0.0.1, with handler echo and\n" +
			"queue demo (1/1s:5), and with what FILE declares beside them. For trying out: the\n" +
			"data is lost on exit.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg := config.Default()
			if file != "" {
				var err error
				if cfg, err = loadConfig(c, file); err != nil {
					return err
				}
			}
			ignored := file != "" && cfg.Redis.URL != config.Default().Redis.URL || os.Getenv(config.EnvRedisURL) != ""
			if err := addDemo(cfg); err != nil {
				return err
			}
			if level == "" && file == "" {
				level = "warn"
			}
			log, err := newLog(c.ErrOrStderr(), cfg.Log, level)
			if err != nil {
				return err
			}
			redis, stop, err := embedded()
			if err != nil {
				return err
			}
			defer stop()
			own := config.Redis{URL: "redis://" + redis + "/0"}
			cfg.Redis = own
			o := daemon.Options{Config: cfg, Log: log, Ephemeral: true, Ready: func(string) { banner(c, cfg, redis, ignored) }}
			return serve(c, o, func() (*config.Config, error) {
				if file == "" {
					return nil, errors.New("there is no file to read again: name one with -c")
				}
				return reread(file, func(cfg *config.Config) error {
					cfg.Redis = own
					return addDemo(cfg)
				})
			})
		},
	}
	c.Flags().StringVarP(&file, "config", "c", "", "configuration to serve as well; its redis block is ignored")
	c.Flags().StringVar(&level, "log-level", "", "trace, debug, info, warn, error or off (default \"warn\")")
	return c
}

// addDemo adds handler echo and queue demo, unless the file has them.
func addDemo(cfg *config.Config) error {
	if _, ok := cfg.Handler("echo"); !ok {
		h := config.NewHandler("echo")
		h.Path = filepath.Join(config.Default().PluginDir, "echo")
		if _, err := os.Stat(h.Path); err != nil {
			return &fileError{fmt.Errorf("plugin echo: %w; build it beside throttlerd with make build", err)}
		}
		cfg.Handlers = append(cfg.Handlers, h)
	}
	if _, ok := cfg.Queue("demo"); !ok {
		q := config.NewQueue("demo", "echo")
		q.Rates = ratelimit.Rates{{N: 1, Period: time.Second, Burst: 5}}
		cfg.Queues = append(cfg.Queues, q)
	}
	return nil
}

// embedded starts the in-memory Redis: on the usual port when that is free.
func embedded() (addr string, stop func(), err error) {
	m := miniredis.NewMiniRedis()
	if err := m.StartAddr("127.0.0.1:6379"); err != nil {
		m = miniredis.NewMiniRedis()
		if err := m.StartAddr("127.0.0.1:0"); err != nil {
			return "", nil, errors.Join(errors.New("embedded redis"), err)
		}
	}
	done := make(chan struct{})
	go func() { // its TTLs run down only when told
		const step = 100 * time.Millisecond
		t := time.NewTicker(step)
		defer t.Stop()
		for {
			select {
			case <-done:
				return
			case <-t.C:
				m.FastForward(step)
			}
		}
	}()
	return m.Addr(), func() { close(done); m.Close() }, nil
}

func banner(c *cobra.Command, cfg *config.Config, addr string, ignored bool) {
	w := c.OutOrStdout()
	fmt.Fprintf(w, "throttlerd %s dev mode: data is in memory and lost on exit\n", version)
	fmt.Fprintf(w, "  redis  redis://%s/0  (embedded; namespace %q)\n", addr, cfg.Namespace)
	if ignored {
		fmt.Fprintln(w, "         the configured Redis is ignored in dev mode")
	}
	for _, l := range cfg.Limits {
		fmt.Fprintf(w, "  limit  %s  %s\n", l.Name, bounds(l.LimitSpec, nil))
	}
	for _, q := range cfg.Queues {
		fmt.Fprintf(w, "  queue  %s  %s  handler %s\n", q.Name, bounds(q.LimitSpec, q.Limits), q.Handler)
	}
	if addr != "127.0.0.1:6379" {
		fmt.Fprintf(w, "In another terminal:\n  export THROTTLE_REDIS_URL=redis://%s/0\n", addr)
	}
	fmt.Fprintf(w, "Try:  throttlectl submit demo '{\"hello\":\"world\"}'\n      throttlectl queue show demo\n")
}

// bounds says what a limit or a queue is under, its rate always.
func bounds(s config.LimitSpec, limits []string) string {
	text := "rate " + s.Rates.String()
	if s.Concurrency > 0 {
		text += fmt.Sprintf("  concurrency %d", s.Concurrency)
	}
	if len(limits) > 0 {
		text += "  limits " + strings.Join(limits, ", ")
	}
	return text
}
