package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/throttlerd/throttlerd/runtime"
	"github.com/throttlerd/throttlerd/runtime/config"
	"github.com/throttlerd/throttlerd/runtime/daemon"
	"github.com/throttlerd/throttlerd/scheduler"
)

func runCommand() *cobra.Command {
	var file, level string
	var pools, queues []string
	var concurrency int
	c := &cobra.Command{
		Use:   "run [-c FILE|DIR]",
		Short: "Serve the handlers that a file declares",
		Long: "Serves the handlers that a file declares: creates its queues, takes tasks as their\n" +
			"limits grant them and hands them to the plugins.\n\n" +
			"SIGTERM drains: what runs may finish within drain_timeout, the rest goes back to its\n" +
			"queue uncharged. A second signal hurries. SIGHUP applies the queues of the changed file.",
		Example: "  throttlerd run -c config.hcl\n  throttlerd run --pool batch --pool default --concurrency 512\n  throttlerd run --queue deploys",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := loadConfig(c, file)
			if err != nil {
				return err
			}
			if c.Flags().Changed("concurrency") {
				if concurrency < 1 {
					return &usageError{fmt.Errorf("--concurrency %d: must be at least 1", concurrency)}
				}
				cfg.Concurrency = concurrency
			}
			for _, p := range pools {
				if p != "*" {
					if err := scheduler.CheckName("pool", p); err != nil {
						return &usageError{err}
					}
				}
			}
			for _, q := range queues {
				if err := scheduler.CheckName("queue", q); err != nil {
					return &usageError{err}
				}
			}
			if len(pools) > 0 && len(queues) > 0 {
				return &usageError{errors.New("--pool and --queue exclude each other: a queue is served whatever its pool")}
			}
			if len(cfg.Handlers) == 0 {
				return &fileError{errors.New("nothing to serve: the configuration declares no handler")}
			}
			log, err := newLog(c.ErrOrStderr(), cfg.Log, level)
			if err != nil {
				return err
			}
			return serve(c, daemon.Options{Config: cfg, Pools: pools, Queues: queues, Log: log}, file)
		},
	}
	f := c.Flags()
	f.StringVarP(&file, "config", "c", "", "configuration file or directory (THROTTLE_CONFIG, ./config.hcl)")
	f.StringArrayVar(&pools, "pool", nil, "serve the queues of this pool; repeatable; '*' is all (default \"default\")")
	f.StringArrayVar(&queues, "queue", nil, "serve only this queue, whatever its pool; repeatable")
	f.IntVar(&concurrency, "concurrency", 0, "tasks at once in this worker, over what the file says")
	f.StringVar(&level, "log-level", "", "trace, debug, info, warn, error or off, over what the file says")
	return c
}

// serve runs the daemon under the signals of the process.
func serve(c *cobra.Command, o daemon.Options, file string) error {
	ctx, hurry, reload, release := signals(o.Log, file)
	defer release()
	o.Version, o.Hurry, o.Reload = version, hurry, reload
	err := daemon.Run(ctx, o)
	var failed *runtime.HandlerError
	if errors.As(err, &failed) {
		return show(c, daemon.StartDiagnostics(o.Config, failed.Handler, failed.Err))
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // stopped before it had begun
	}
	return err
}

// signals turns SIGTERM and SIGINT into the end of ctx, the next one into hurry, and
// SIGHUP into the files read again.
func signals(log hclog.Logger, file string) (ctx context.Context, hurry <-chan struct{}, reload <-chan *config.Config, release func()) {
	ctx, cancel := context.WithCancel(context.Background())
	quick, configs := make(chan struct{}), make(chan *config.Config, 1)
	got := make(chan os.Signal, 4)
	signal.Notify(got, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		stops := 0
		for {
			select {
			case <-done:
				return
			case s := <-got:
				switch {
				case s == syscall.SIGHUP:
					if cfg := reread(log, file); cfg != nil {
						select { // the latest counts, and nobody may be there yet to take it
						case <-configs:
						default:
						}
						configs <- cfg
					}
				case stops == 0:
					stops++
					log.Info("stopping: a second signal hurries", "signal", s.String())
					cancel()
				case stops == 1:
					stops++
					close(quick)
				}
			}
		}
	}()
	return ctx, quick, configs, func() {
		signal.Stop(got)
		close(done)
		cancel()
	}
}

// reread returns the config of the changed files, or nil when they are not good.
func reread(log hclog.Logger, file string) *config.Config {
	path, _ := config.Path(file, nil)
	cfg, diags := config.Load(path, config.Options{})
	if diags.HasErrors() {
		log.Error("reload refused: the configuration has mistakes", "error", diags.Error())
		return nil
	}
	if err := cfg.ApplyEnv(nil); err != nil {
		log.Error("reload refused", "error", err)
		return nil
	}
	return cfg
}
