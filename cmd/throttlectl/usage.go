package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/throttlerd/throttlerd/ratelimit"
)

// strict makes every mistake in a command line a usage error that says what would be
// right: cobra by itself prints help and succeeds for an unknown subcommand.
func strict(root *cobra.Command, args []string) {
	root.SetHelpCommand(helpCommand())
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd(args...)
	root.SetFlagErrorFunc(flagError)
	each(root, func(c *cobra.Command) {
		if c.HasSubCommands() {
			group(c)
			return
		}
		check := c.Args
		c.Args = func(c *cobra.Command, args []string) error {
			if check == nil {
				return nil
			}
			if err := check(c, args); err != nil {
				return usagef("%s; usage: %s", countOf(c, args, err), c.UseLine())
			}
			return nil
		}
	})
}

func each(c *cobra.Command, f func(*cobra.Command)) {
	f(c)
	for _, sub := range c.Commands() {
		each(sub, f)
	}
}

// group makes c a command that does nothing but hold others.
func group(c *cobra.Command) {
	c.Args = func(c *cobra.Command, args []string) error {
		names := subcommands(c)
		if len(args) == 0 {
			return usagef("%w: %s %s; see %s --help", errNoCommand, c.CommandPath(), strings.Join(names, "|"), c.CommandPath())
		}
		near := ratelimit.Nearest(args[0], names)
		if near == "" {
			return usagef("unknown command %q for %q; there are %s", args[0], c.CommandPath(), strings.Join(names, ", "))
		}
		return usagef("unknown command %q for %q; did you mean %q?", args[0], c.CommandPath(), near)
	}
	c.RunE = func(*cobra.Command, []string) error { return nil } // Args never lets it come to this
}

func subcommands(c *cobra.Command) []string {
	var names []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	return names
}

// countOf says which argument is missing or too many, rather than how many were counted.
func countOf(c *cobra.Command, args []string, err error) string {
	fields := strings.Fields(c.Use)[1:]
	var want []string
	for _, f := range fields {
		if !strings.HasPrefix(f, "[") {
			want = append(want, f)
		}
	}
	switch {
	case len(args) < len(want):
		return "argument " + want[len(args)] + " is missing"
	case len(args) > len(fields):
		return "too many arguments"
	}
	return err.Error()
}

func flagError(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "" {
		var names []string
		c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if near := ratelimit.Nearest(unknown.GetSpecifiedName(), names); near != "" {
			return usagef("%w; did you mean --%s?", err, near)
		}
	}
	var bad *pflag.InvalidValueError
	if errors.As(err, &bad) {
		name, cause := bad.GetFlag().Name, errors.Unwrap(err)
		switch bad.GetFlag().Value.Type() {
		case "int", "int64":
			return usagef("--%s %q is not a whole number", name, bad.GetValue())
		case "float64":
			return usagef("--%s %q is not a number", name, bad.GetValue())
		case "duration":
			return usagef("--%s: %w", name, cause)
		}
	}
	return usagef("%w; see %s --help", err, c.CommandPath())
}

func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]...",
		Short:   "Help for any command",
		Example: "  throttlectl help queue create",
		RunE: func(c *cobra.Command, args []string) error {
			about, rest, err := c.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return usagef("no command %q; see throttlectl --help", strings.Join(args, " "))
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	}
}
