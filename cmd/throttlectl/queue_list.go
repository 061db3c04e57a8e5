package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/throttlerd/throttlerd/scheduler"
)

func (a *app) queueListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List all queues with their counts, tokens and what blocks them",
		Example: `  throttlectl queue list
  throttlectl queue list --json | jq -r '.[] | select(.dead > 0).name'`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.connected((*session).listQueues) },
	}
}

func (s *session) listQueues() error {
	queues, err := s.Queues(s.ctx)
	if err != nil {
		return err
	}
	workers, err := s.Workers(s.ctx)
	if err != nil {
		return err
	}
	if s.a.json {
		views := make([]queueView, len(queues))
		for i, q := range queues {
			views[i] = viewQueue(q, workers)
		}
		return s.a.printJSON(views)
	}
	if len(queues) == 0 {
		s.a.note("No queues in namespace %q; throttlectl queue create makes one.", s.Namespace())
		return nil
	}
	s.a.table(queueTable(queues, workers))
	return nil
}

// queueTable has a column of limits where a queue names some.
func queueTable(queues []scheduler.Queue, workers []scheduler.Worker) (header []string, rows [][]string) {
	named := slices.ContainsFunc(queues, func(q scheduler.Queue) bool { return len(q.Limits) > 0 })
	header = []string{"QUEUE", "HANDLER", "POOL", "WAITING", "SCHEDULED", "RUNNING", "DEAD", "RATE", "TOKENS", "STATE", "BLOCKED BY"}
	if named {
		header = slices.Insert(header, 8, "LIMITS")
	}
	for _, q := range queues {
		row := []string{q.Name, q.Handler, q.Pool, count(q.Waiting), count(q.Scheduled), runningOf(q), count(q.Dead),
			rateText(q.Rates, q.Override), tokens(q.Rates, q.Bucket), queueState(q), blockedText(q, workers)}
		if named {
			row = slices.Insert(row, 8, strings.Join(q.Limits, ", "))
		}
		rows = append(rows, row)
	}
	return header, rows
}

// runningOf is how many of a queue's tasks run, and how many may.
func runningOf(q scheduler.Queue) string {
	if q.Concurrency == 0 {
		return count(q.Running)
	}
	return count(q.Running) + "/" + count(int64(q.Concurrency))
}
