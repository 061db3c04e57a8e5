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
	c.AddCommand(a.workerListCommand(), a.workerShowCommand())
	return c
}

func (a *app) workerListCommand() *cobra.Command {
	var flags workerListFlags
	c := &cobra.Command{
		Use:   "list",
		Short: "List workers with what they serve, run and last said",
		Long: `Lists the workers that hold a lease, and tells whether all is well. One whose lease has
ended is listed as lost until its tasks have been taken back; one that is draining takes
no more tasks.

Tasks that wait and that no live worker serves are "unhealthy"; a lost worker, a plugin
that is down and dead tasks are "degraded". --check is for scripts.`,
		Example: `  throttlectl worker list
  throttlectl worker list --queues
  throttlectl worker list --check || notify
  throttlectl worker list --json | jq '[.[] | select(.live)] | length'`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return flags.run(a) },
	}
	flags.register(c)
	return c
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
		rows[i] = []string{w.ID, w.Host, fmt.Sprint(w.PID), strings.Join(w.Pools, ","), slotsText(w), count(int64(w.Running)),
			workerState(w, now), ageText(w, now), exact(w.Lease), w.Version, w.ConfigHash}
	}
	s.a.table([]string{"WORKER", "HOST", "PID", "POOL", "HANDLERS", "RUNNING", "STATE", "HEARTBEAT", "LEASE", "VERSION", "CONFIG"}, rows)
	line, err := s.healthLine()
	if err != nil {
		return err
	}
	s.a.printf("\n%s\n", line)
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
