package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) taskCancelCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "cancel ID",
		Short: "End a task that has not started, or ask the worker of a running one to stop it",
		Long: `Ends a task that waits or is scheduled. Of a running task the worker is asked to cancel
its handler; it is cancelled when the handler has stopped, and done if that was quicker.
A task that has ended is left as it is (exit code 4).`,
		Example: "  throttlectl task cancel order-4711",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.connected(func(s *session) error { return s.cancelTask(args[0]) })
		},
	}
}

func (a *app) taskRetryCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "retry ID",
		Short: "Let a dead task, or one that is scheduled, wait for its turn now",
		Long: `Puts a dead task, or one that is scheduled, behind the waiting tasks of its queue. A
dead task has all its attempts again. Any other task is left as it is (exit code 4).`,
		Example: "  throttlectl task retry order-4711",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.connected(func(s *session) error { return s.retryTask(args[0]) })
		},
	}
}

// steeredView is what became of a task that was cancelled or retried, in JSON.
type steeredView struct {
	ID     string `json:"id"`
	Was    string `json:"was"`    // its state before
	Result string `json:"result"` // "cancelled", "stop_requested" or "waiting"
}

func (s *session) cancelTask(id string) error {
	was, err := s.Cancel(s.ctx, id)
	if err != nil {
		return err
	}
	if was == "running" {
		return s.steered(steeredView{id, was, "stop_requested"}, "its worker has been asked to stop it")
	}
	return s.steered(steeredView{id, was, "cancelled"}, "cancelled; it was "+was)
}

func (s *session) retryTask(id string) error {
	was, err := s.RetryTask(s.ctx, id)
	if err != nil {
		return err
	}
	return s.steered(steeredView{id, was, "waiting"}, fmt.Sprintf("waits for its turn; it was %s", was))
}

func (s *session) steered(v steeredView, words string) error {
	if s.a.json {
		return s.a.printJSON(v)
	}
	s.a.printf("%s: %s\n", safe(v.ID), words)
	return nil
}
