package main

import "github.com/spf13/cobra"

func (a *app) queueCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "queue",
		Short: "Create, show and steer queues",
		Example: `  throttlectl queue list
  throttlectl queue show emails`,
	}
	c.AddCommand(a.queueCreateCommand(), a.queueListCommand(), a.queueShowCommand(), a.queueUpdateCommand(),
		a.queuePauseCommand(), a.queueResumeCommand(), a.queuePurgeCommand(), a.queueRemoveCommand(), a.queueTestCommand(), a.queueCleanupCommand())
	return c
}

// onQueue is the body of a command whose first argument names a queue.
func (a *app) onQueue(f func(s *session, name string) error) func(*cobra.Command, []string) error {
	return func(_ *cobra.Command, args []string) error {
		if err := checkName("queue", args[0]); err != nil {
			return err
		}
		return a.connected(func(s *session) error { return f(s, args[0]) })
	}
}
