package main

import "github.com/spf13/cobra"

func (a *app) queuePauseCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "pause NAME",
		Short:   "Start no more tasks of a queue; running ones finish, new ones are taken in",
		Example: "  throttlectl queue pause emails",
		Args:    cobra.ExactArgs(1),
		RunE:    a.onQueue(func(s *session, name string) error { return s.hold(name, true) }),
	}
}

func (a *app) queueResumeCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "resume NAME",
		Short:   "Let tasks of a paused queue start again",
		Example: "  throttlectl queue resume emails",
		Args:    cobra.ExactArgs(1),
		RunE:    a.onQueue(func(s *session, name string) error { return s.hold(name, false) }),
	}
}

func (s *session) hold(name string, pause bool) error {
	change, word := s.Resume, "resumed"
	if pause {
		change, word = s.Pause, "paused"
	}
	if err := change(s.ctx, name); err != nil {
		return err
	}
	q, err := s.Queue(s.ctx, name)
	if err != nil {
		return err
	}
	s.noteOverride(q)
	if !pause && q.Held == "undeclared" {
		s.a.note("Warning: nothing of queue %q starts yet: the file of owner %q does not declare it any more", name, q.Owner)
	}
	if !s.a.json {
		s.a.printf("%s: %s, %s waiting, %s running\n", name, word, count(q.Waiting), count(q.Running))
		return nil
	}
	workers, err := s.Workers(s.ctx)
	if err != nil {
		return err
	}
	return s.a.printJSON(viewQueue(q, workers))
}
