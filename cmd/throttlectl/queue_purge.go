package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) queuePurgeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "purge NAME",
		Short: "Drop the waiting and scheduled tasks of a queue",
		Long: `Drops the waiting and scheduled tasks of a queue, for good. Running and dead tasks
and the history stay. It asks first; with --yes it does not.`,
		Example: `  throttlectl queue purge emails
  throttlectl queue purge emails --yes`,
		Args: cobra.ExactArgs(1),
		RunE: a.onQueue((*session).purge),
	}
}

func (s *session) purge(name string) error {
	q, err := s.Queue(s.ctx, name)
	if err != nil {
		return err
	}
	if err := s.confirm(fmt.Sprintf("drop %s waiting and %s scheduled tasks of queue %q", count(q.Waiting), count(q.Scheduled), name)); err != nil {
		return err
	}
	n, err := s.Purge(s.ctx, name)
	if err != nil {
		if n > 0 {
			return fmt.Errorf("after %s were dropped: %w", plural(n, "task"), err)
		}
		return err
	}
	if s.a.json {
		return s.a.printJSON(struct {
			Queue  string `json:"queue"`
			Purged int64  `json:"purged"`
		}{name, n})
	}
	s.a.printf("%s: %s dropped\n", name, plural(n, "task"))
	return nil
}
