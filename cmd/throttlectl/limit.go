package main

import (
	"os"
	"os/user"

	"github.com/spf13/cobra"

	"github.com/throttlerd/throttlerd/scheduler"
)

func (a *app) limitCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "limit",
		Short: "Set, show and steer named limits, and take tokens of one",
		Long: `A named limit bounds all the tasks of the queues that name it (queue create --limit), and
calls that other programs make and take tokens for (limit take).`,
		Example: `  throttlectl limit set github --rate 5000/1h:50 --concurrency 20
  throttlectl queue update deploys --limit github
  throttlectl limit show github`,
	}
	c.AddCommand(a.limitListCommand(), a.limitShowCommand(), a.limitSetCommand(), a.limitResetCommand(),
		a.limitRemoveCommand(), a.limitTakeCommand())
	return c
}

// onLimit is the body of a command whose first argument names a limit.
func (a *app) onLimit(f func(s *session, name string) error) func(*cobra.Command, []string) error {
	return func(_ *cobra.Command, args []string) error {
		if err := checkLimitName(args[0]); err != nil {
			return err
		}
		return a.connected(func(s *session) error { return f(s, args[0]) })
	}
}

// checkLimitName refuses what cannot name a limit before Redis is asked for it.
func checkLimitName(name string) error {
	if err := checkName("limit", name); err != nil {
		return err
	}
	return scheduler.CheckLimit(name)
}

// editor is who changes something, for the log of edits.
func editor() string {
	who := os.Getenv("USER")
	if u, err := user.Current(); err == nil && u.Username != "" {
		who = u.Username
	}
	if who == "" {
		who = "unknown"
	}
	if host, err := os.Hostname(); err == nil && host != "" {
		who += "@" + host
	}
	return who
}
