package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/throttlerd/throttlerd/scheduler"
)

func (a *app) limitResetCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "reset NAME",
		Short: "Make a limit's buckets full and end its freeze",
		Long: `Makes the buckets of a limit full, whatever was taken or is owed, and ends a freeze by an
upstream. What it grants next may come on top of all that it granted before: the upstream
may see more calls than the rate allows.`,
		Example: "  throttlectl limit reset github",
		Args:    cobra.ExactArgs(1),
		RunE:    a.onLimit((*session).resetLimit),
	}
}

func (s *session) resetLimit(name string) error {
	if err := s.ResetLimit(s.ctx, name, editor()); err != nil {
		return err
	}
	l, err := s.Limit(s.ctx, name)
	if err != nil {
		return err
	}
	if s.a.json {
		return s.a.printJSON(viewLimit(l))
	}
	s.a.printf("%s: reset, tokens %s\n", name, tokens(l.Rates, l.Bucket))
	return nil
}

func (a *app) limitRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "remove NAME",
		Short: "Remove a limit that no queue names",
		Long: `Removes a limit with its counters, for good. It asks first; with --yes it does not. One
that queues name, or that running tasks are counted under, is refused: take it off the
queues first (queue update NAME --limit …). So is one that a configuration file declares.`,
		Example: `  throttlectl limit remove github
  throttlectl limit remove github --yes`,
		Args: cobra.ExactArgs(1),
		RunE: a.onLimit((*session).removeLimit),
	}
}

func (s *session) removeLimit(name string) error {
	l, err := s.Limit(s.ctx, name)
	if err != nil {
		return err
	}
	if err := removable(l); err != nil {
		return err
	}
	if err := s.confirm(fmt.Sprintf("remove limit %q", name)); err != nil {
		return err
	}
	if err := s.RemoveLimit(s.ctx, name, editor()); err != nil {
		return remedy(err)
	}
	if s.a.json {
		return s.a.printJSON(struct {
			Limit   string `json:"limit"`
			Removed bool   `json:"removed"`
		}{name, true})
	}
	s.a.printf("%s: removed\n", name)
	return nil
}

// removable refuses before anybody is asked.
func removable(l scheduler.Limit) error {
	switch {
	case l.Owner != "" && !l.Undeclared:
		return remedy(&scheduler.OwnedError{Limit: l.Name, Owner: l.Owner})
	case len(l.Queues) > 0 || l.Running > 0:
		return &scheduler.ReferencedError{Limit: l.Name, Queues: l.Queues, Running: l.Running}
	}
	return nil
}
