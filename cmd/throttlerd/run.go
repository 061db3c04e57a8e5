package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	goruntime "runtime"
	"syscall"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/throttlerd/throttlerd/pluginapi/heap"
	"github.com/throttlerd/throttlerd/runtime"
	"github.com/throttlerd/throttlerd/runtime/config"
	"github.com/throttlerd/throttlerd/runtime/daemon"
)

func runCommand() *cobra.Command {
	var file string
	var worker workerFlags
	c := &cobra.Command{
		Use:   "run [-c FILE|DIR]",
		Short: "Serve the handlers that a file declares",
		Long: "Serves the handlers that a file declares: creates its queues and limits, takes\n" +
			"tasks as their limits grant them and hands them to the plugins.\n\n" +
			"SIGTERM drains: what runs may finish within drain_timeout, the rest goes back to its\n" +
			"queue uncharged. A second signal hurries. SIGHUP applies the queues and limits of the\n" +
			"changed file, and replaces plugins whose settings or binaries have changed: a new\n" +
			"process takes over when it is ready, the old one finishes its tasks and leaves.",
		Example: "  throttlerd run -c config.hcl\n  throttlerd run --pool batch --pool default --concurrency 512\n  throttlerd run --queue deploys",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := worker.complete(c, nil); err != nil {
				return &usageError{err}
			}
			cfg, err := loadConfig(c, file)
			if err != nil {
				return err
			}
			worker.overrule(cfg)
			if len(cfg.Handlers) == 0 {
				return &fileError{errors.New("nothing to serve: the configuration declares no handler")}
			}
			log, err := newLog(c.ErrOrStderr(), cfg.Log, worker.level)
			if err != nil {
				return err
			}
			setRedisLog(log)
			leaveCores()
			heap.MakeRoom()
			return serve(c, daemon.Options{Config: cfg, Pools: worker.pools, Queues: worker.queues, Log: log}, func() (*config.Config, error) {
				return reread(file, func(cfg *config.Config) error { worker.overrule(cfg); return nil })
			})
		},
	}
	c.Flags().StringVarP(&file, "config", "c", "", "configuration file or directory (THROTTLE_CONFIG, ./config.hcl)")
	worker.register(c)
	return c
}

// serve runs the daemon under the signals of the process; again reads its config anew.
func serve(c *cobra.Command, o daemon.Options, again func() (*config.Config, error)) error {
	ctx, hurry, reload, release := signals(o.Log, again)
	defer release()
	o.Version, o.Hurry, o.Reload = version, hurry, reload
	err := daemon.Run(ctx, o)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // stopped before it had begun, maybe while a handler started
	}
	var failed *runtime.HandlerError
	if errors.As(err, &failed) {
		return show(c, daemon.StartDiagnostics(o.Config, failed.Handler, failed.Err))
	}
	return err
}

// signals turns SIGTERM and SIGINT into the end of ctx, the next one into hurry, and
// SIGHUP into the config read again.
func signals(log hclog.Logger, again func() (*config.Config, error)) (ctx context.Context, hurry <-chan struct{}, reload <-chan *config.Config, release func()) {
	ctx, cancel := context.WithCancel(context.Background())
	quick, configs := make(chan struct{}), make(chan *config.Config, 1)
	// apart, since a signal that finds its channel full is dropped: many reloads must not
	// keep a worker from being stopped. One waiting SIGHUP is enough, it reads the latest.
	stop, hangup := make(chan os.Signal, 2), make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	signal.Notify(hangup, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case <-hangup:
				cfg, err := again()
				if err != nil {
					log.Error("reload refused", "error", err)
					continue
				}
				log.Info("files read again", "config_hash", cfg.Hash())
				select { // the latest counts, and nobody may be there yet to take it
				case <-configs:
				default:
				}
				configs <- cfg
			}
		}
	}()
	go func() {
		for stops := 0; ; stops++ {
			select {
			case <-done:
				return
			case s := <-stop:
				switch stops {
				case 0:
					log.Info("stopping: a second signal hurries", "signal", s.String())
					cancel()
				case 1:
					close(quick)
				}
			}
		}
	}()
	return ctx, quick, configs, func() {
		signal.Stop(stop)
		signal.Stop(hangup)
		close(done)
		cancel()
	}
}

// reread returns the config of the changed files, with what the command adds to it.
func reread(file string, adds func(*config.Config) error) (*config.Config, error) {
	path, _ := config.Path(file, nil)
	cfg, diags := config.Load(path, config.Options{Reattach: os.Getenv(config.EnvReattach)})
	if diags.HasErrors() {
		return nil, fmt.Errorf("the configuration has mistakes: %w", diags)
	}
	if err := cfg.Override(config.Flags{}, nil); err != nil {
		return nil, err
	}
	return cfg, adds(cfg)
}

// leaveCores leaves half of the cores to the plugins, which do the work: a drain of no-op
// tasks on two cores is a sixth faster. GOMAXPROCS says otherwise.
func leaveCores() {
	if os.Getenv("GOMAXPROCS") == "" {
		goruntime.GOMAXPROCS(max(1, goruntime.GOMAXPROCS(0)/2))
	}
}
