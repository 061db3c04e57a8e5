package main

import (
	"fmt"

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
	rows := make([][]string, len(queues))
	for i, q := range queues {
		rows[i] = []string{q.Name, q.Handler, q.Pool, count(q.Waiting), count(q.Scheduled), count(q.Running), count(q.Dead),
			q.Rates.String(), tokens(q), queueState(q), blockedBy(q, workers)}
	}
	s.a.table([]string{"QUEUE", "HANDLER", "POOL", "WAITING", "SCHEDULED", "RUNNING", "DEAD", "RATE", "TOKENS", "STATE", "BLOCKED BY"}, rows)
	return nil
}

// tokens is how full a queue's bucket is, and when its next token comes.
func tokens(q scheduler.Queue) string {
	if len(q.Rates) == 0 {
		return "-"
	}
	s := fmt.Sprintf("%s/%s", level(q.Tokens), count(q.Capacity))
	if wait := q.NextToken.Sub(q.At); wait > 0 {
		s += ", next in " + span(wait)
	}
	return s
}
