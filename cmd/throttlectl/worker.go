package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/throttlerd/throttlerd/scheduler"
)

func (a *app) workerCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "worker",
		Short:   "Show the workers that are known",
		Example: "  throttlectl worker list",
	}
	c.AddCommand(a.workerListCommand())
	return c
}

func (a *app) workerListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List workers with what they serve, run and last said",
		Long: `Lists the workers that hold a lease. One whose lease has ended is listed as lost until
its tasks have been taken back.`,
		Example: `  throttlectl worker list
  throttlectl worker list --json | jq '[.[] | select(.live)] | length'`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.connected((*session).listWorkers) },
	}
}

func (s *session) listWorkers() error {
	workers, err := s.Workers(s.ctx)
	if err != nil {
		return err
	}
	now, err := s.Now(s.ctx)
	if err != nil {
		return err
	}
	if s.a.json {
		views := make([]workerView, len(workers))
		for i, w := range workers {
			views[i] = viewWorker(w, now)
		}
		return s.a.printJSON(views)
	}
	if len(workers) == 0 {
		s.a.note("No workers in namespace %q; throttlerd run starts one.", s.Namespace())
		return nil
	}
	rows := make([][]string, len(workers))
	for i, w := range workers {
		state := "live"
		if !w.LeaseEnds.After(now) {
			state = "lost"
		}
		rows[i] = []string{w.ID, w.Host, fmt.Sprint(w.PID), strings.Join(w.Pools, ","), slotsText(w), count(int64(w.Running)),
			state, ageText(w, now), exact(w.Lease), w.Version, w.ConfigHash}
	}
	s.a.table([]string{"WORKER", "HOST", "PID", "POOL", "HANDLERS", "RUNNING", "STATE", "HEARTBEAT", "LEASE", "VERSION", "CONFIG"}, rows)
	return nil
}

// slotsText is "echo 64, smtp 8": each handler with its slots.
func slotsText(w scheduler.Worker) string {
	var words []string
	for _, h := range w.Handlers() {
		words = append(words, fmt.Sprintf("%s %d", h, w.Slots[h]))
	}
	return strings.Join(words, ", ")
}
