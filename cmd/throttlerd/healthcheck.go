package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/throttlerd/throttlerd/runtime/daemon"
)

func healthcheckCommand() *cobra.Command {
	var h healthcheck
	c := &cobra.Command{
		Use:   "healthcheck [-c FILE|DIR]",
		Short: "Tell whether the worker of this machine serves, for a container's probe",
		Long: `Looks in Redis for a worker of this host (the container's host name) that serves: its
lease stands, it is not draining, and all its handlers have a process. Where several
workers of the host are known, one is enough; --pid asks for a certain one. It starts no
plugin and writes nothing. Without a file it uses the environment, as throttlectl does.

Exit codes: 0 it serves; 1 it does not, with the reasons; 5 Redis does not answer within
--timeout; 7 bad file; 2 wrong usage.`,
		Example: `  throttlerd healthcheck
  throttlerd healthcheck -c /etc/throttlerd/config.hcl --timeout 2s
  throttlerd healthcheck || [ $? -eq 5 ]     # a restart of the worker does not mend Redis`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return h.report(c, h.run(c)) },
	}
	f := c.Flags()
	f.StringVarP(&h.file, "config", "c", "", "configuration file or directory (THROTTLE_CONFIG, ./config.hcl if it exists)")
	f.IntVar(&h.pid, "pid", 0, "only the worker of this process id")
	f.DurationVar(&h.timeout, "timeout", 5*time.Second, "how long Redis may take to answer")
	f.BoolVar(&h.asJSON, "json", false, "one JSON object")
	return c
}

type healthcheck struct {
	file    string
	pid     int
	timeout time.Duration
	asJSON  bool
}

// report prints an error as throttlectl does, where JSON was asked for.
func (h *healthcheck) report(c *cobra.Command, err error) error {
	var shown *shownError
	if err == nil || !h.asJSON || errors.As(err, &shown) {
		return err
	}
	code := exitCode(err)
	word, known := map[int]string{2: "usage", 5: "unreachable", 7: "invalid"}[code]
	if !known {
		word = "failed"
	}
	text, jerr := json.Marshal(map[string]any{"error": map[string]string{"code": word, "message": err.Error()}})
	if jerr != nil {
		return err
	}
	fmt.Fprintln(c.ErrOrStderr(), string(text))
	return &shownError{err, code}
}

func (h *healthcheck) run(c *cobra.Command) error {
	if c.Flags().Changed("pid") && h.pid < 1 {
		return &usageError{fmt.Errorf("--pid %d: must be the id of a process, at least 1", h.pid)}
	}
	if h.timeout <= 0 {
		return &usageError{fmt.Errorf("--timeout %s: must be more than 0", h.timeout)}
	}
	cfg, err := loadSettings(c, h.file)
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("name of this host: %w", err)
	}
	setRedisLog(hclog.NewNullLogger()) // what goes wrong is said once
	ctx, cancel := context.WithTimeout(context.Background(), h.timeout)
	defer cancel()
	up, err := daemon.LookUp(ctx, cfg, host, h.pid)
	if err != nil {
		return err
	}
	err = up.Err()
	switch {
	case h.asJSON:
		if perr := printJSON(c, viewCheckup(up)); perr != nil {
			return perr
		}
	case err == nil:
		_, err = fmt.Fprintf(c.OutOrStdout(), "ok: %s\n", up)
	}
	return err
}

// checkupView is how the workers of this host do, in JSON.
type checkupView struct {
	Healthy   bool          `json:"healthy"`
	Host      string        `json:"host"`
	Namespace string        `json:"namespace"`
	Problem   *string       `json:"problem"` // null when it is healthy
	Workers   []patientView `json:"workers"`
}

type patientView struct {
	ID           string   `json:"id"`
	PID          int      `json:"pid"`
	Healthy      bool     `json:"healthy"`
	Problems     []string `json:"problems"`
	Handlers     []string `json:"handlers"`
	Running      int      `json:"running"`
	Draining     bool     `json:"draining"`
	LeaseEndsIn  float64  `json:"lease_ends_in_seconds"`
	HeartbeatAge float64  `json:"heartbeat_age_seconds"`
}

func viewCheckup(up daemon.Checkup) checkupView {
	v := checkupView{Healthy: true, Host: up.Host, Namespace: up.Namespace, Workers: []patientView{}}
	if err := up.Err(); err != nil {
		text := err.Error()
		v.Healthy, v.Problem = false, &text
	}
	for _, p := range up.Workers {
		v.Workers = append(v.Workers, patientView{
			ID: p.ID, PID: p.PID, Healthy: len(p.Problems) == 0, Problems: append([]string{}, p.Problems...), Handlers: p.Handlers(),
			Running: p.Running, Draining: p.Draining, LeaseEndsIn: p.LeaseEnds.Sub(up.At).Seconds(), HeartbeatAge: up.At.Sub(p.Beat).Seconds(),
		})
	}
	return v
}
