// Command throttlerd is the worker: it takes tasks as their limits grant them and
// hands them to handler plugins.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/throttlerd/throttlerd/runtime"
	"github.com/throttlerd/throttlerd/runtime/config"
	"github.com/throttlerd/throttlerd/runtime/daemon"
	"github.com/throttlerd/throttlerd/scheduler"
)

// version is set when it is built for release.
var version = "dev"

func main() { os.Exit(Main(os.Args[1:], os.Stdout, os.Stderr)) }

// Main runs the command line and returns its exit code.
func Main(args []string, stdout, stderr io.Writer) int {
	root := &cobra.Command{
		Use:           "throttlerd",
		Short:         "Runs tasks exactly when their rate limits allow",
		Long:          "throttlerd takes tasks from Redis as their rate limits grant them and hands them to\nhandler plugins. `throttlerd dev` needs nothing else; throttlectl steers it.",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_ = c.Help()
			return &usageError{errors.New("a command is needed: run, dev, validate, fmt, plugin, healthcheck or version")}
		},
	}
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return &usageError{fmt.Errorf("%w; see %s --help", err, c.CommandPath())}
	})
	root.AddCommand(runCommand(), devCommand(), validateCommand(), fmtCommand(), pluginCommand(), healthcheckCommand(), versionCommand())
	checkArgs(root)
	err := root.Execute()
	code := exitCode(err)
	var shown *shownError
	if err != nil && !errors.As(err, &shown) {
		fmt.Fprintln(stderr, "Error:", err)
	}
	return code
}

// checkArgs makes wrong arguments of the commands below c errors of usage.
func checkArgs(c *cobra.Command) {
	for _, sub := range c.Commands() {
		sub.Args = usageArgs(sub.Args)
		checkArgs(sub)
	}
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), "throttlerd", version)
			return err
		},
	}
}

// usageError is a wrong flag or argument.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

// shownError is one that has been printed already.
type shownError struct {
	error
	code int
}

func (e *shownError) Unwrap() error { return e.error }

// conflictError: what was to be made is there already.
type conflictError struct{ error }

func (e *conflictError) Unwrap() error { return e.error }

// fileError is a file that cannot be used.
type fileError struct{ error }

func (e *fileError) Unwrap() error { return e.error }

func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if check == nil {
			return nil
		}
		if err := check(c, args); err != nil {
			return &usageError{fmt.Errorf("%w; usage: %s", err, c.UseLine())}
		}
		return nil
	}
}

// exitCode maps an error to the codes that scripts rely on.
func exitCode(err error) int {
	var (
		shown    *shownError
		usage    *usageError
		file     *fileError
		away     *scheduler.UnreachableError
		handler  *runtime.HandlerError
		invalid  *scheduler.InvalidError
		owned    *scheduler.OwnedError
		conflict *conflictError
		unknown  *scheduler.NotFoundError
		durable  *daemon.DurabilityError
		problems config.Diagnostics
	)
	switch {
	case err == nil:
		return 0
	case errors.As(err, &shown):
		return shown.code
	case errors.As(err, &usage), errors.As(err, &invalid):
		return 2
	case errors.As(err, &unknown):
		return 3
	case errors.As(err, &owned), errors.As(err, &conflict):
		return 4
	case errors.As(err, &away):
		return 5
	case errors.As(err, &file), errors.As(err, &handler), errors.As(err, &problems):
		return 7
	case errors.As(err, &durable):
		return 1
	}
	if isUnknownCommand(err) {
		return 2
	}
	return 1
}

// isUnknownCommand tells cobra's own error about a command that there is not.
func isUnknownCommand(err error) bool {
	const text = "unknown command"
	return len(err.Error()) >= len(text) && err.Error()[:len(text)] == text
}
