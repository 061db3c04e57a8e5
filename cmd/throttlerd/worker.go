package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/throttlerd/throttlerd/internal/environ"
	"github.com/throttlerd/throttlerd/runtime/config"
	"github.com/throttlerd/throttlerd/scheduler"
)

// workerFlags are what the command line, else the environment, says of a worker.
type workerFlags struct {
	pools, queues []string
	concurrency   int // 0: what the file says
	level         string
}

func (w *workerFlags) register(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVar(&w.pools, "pool", nil, "serve the queues of this pool; repeatable; '*' is all (THROTTLE_POOL, default \"default\")")
	f.StringArrayVar(&w.queues, "queue", nil, "serve only this queue, whatever its pool; repeatable")
	f.IntVar(&w.concurrency, "concurrency", 0, "tasks at once in this worker, over what the file says (THROTTLE_CONCURRENCY)")
	f.StringVar(&w.level, "log-level", "", "trace, debug, info, warn, error or off, over what the file says (THROTTLE_LOG_LEVEL)")
}

// complete takes from the environment what the command line does not say, and checks
// all of it.
func (w *workerFlags) complete(c *cobra.Command, env environ.Lookup) error {
	given := c.Flags().Changed
	fromPool := "--pool"
	if v := env.Get(environ.Pool); v != "" && !given("pool") && !given("queue") {
		w.pools, fromPool = strings.Split(v, ","), environ.Pool
	}
	fromConcurrency, concurrency := "--concurrency", strconv.Itoa(w.concurrency)
	if v := env.Get(environ.Concurrency); v != "" && !given("concurrency") {
		fromConcurrency, concurrency = environ.Concurrency, v
	}
	if v := env.Get(environ.LogLevel); v != "" && !given("log-level") {
		w.level = v
	}

	for _, p := range w.pools {
		if p == "*" {
			continue
		}
		if err := scheduler.CheckName("pool", p); err != nil {
			return fmt.Errorf("%s: %w", fromPool, err)
		}
	}
	for _, q := range w.queues {
		if err := scheduler.CheckName("queue", q); err != nil {
			return fmt.Errorf("--queue: %w", err)
		}
	}
	if len(w.pools) > 0 && len(w.queues) > 0 {
		return errors.New("--pool and --queue exclude each other: a queue is served whatever its pool")
	}
	if given("concurrency") || fromConcurrency == environ.Concurrency {
		var err error
		if w.concurrency, err = strconv.Atoi(concurrency); err != nil || w.concurrency < 1 {
			return fmt.Errorf("%s %s: must be a whole number, at least 1", fromConcurrency, concurrency)
		}
	}
	return nil
}

// overrule puts what was said of a worker over what the file says.
func (w *workerFlags) overrule(cfg *config.Config) {
	if w.concurrency > 0 {
		cfg.Concurrency = w.concurrency
	}
}
