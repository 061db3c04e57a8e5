package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/throttlerd/throttlerd/runtime/config"
	"github.com/throttlerd/throttlerd/runtime/daemon"
)

func validateCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:     "validate [-c FILE|DIR]",
		Short:   "Check a configuration, all of it, and its plugins",
		Long:    "Reports every mistake of a configuration with its line, and starts each plugin once\nto let it check its config block. Redis is not needed. Exit code 7 when there are mistakes.",
		Example: "  throttlerd validate -c config.hcl",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := loadConfig(c, file)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			if err := show(c, daemon.CheckPlugins(ctx, cfg, hclog.NewNullLogger())); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "ok: %s in namespace %q\n", counts(cfg), cfg.Namespace)
			return err
		},
	}
	c.Flags().StringVarP(&file, "config", "c", "", "configuration file or directory (THROTTLE_CONFIG, ./config.hcl)")
	return c
}

func fmtCommand() *cobra.Command {
	var check bool
	c := &cobra.Command{
		Use:     "fmt FILE...",
		Short:   "Rewrite configuration files in the usual form",
		Example: "  throttlerd fmt config.hcl\n  throttlerd fmt --check *.hcl",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, files []string) error {
			var differ int
			for _, name := range files {
				changed, err := format(c, name, check)
				if err != nil {
					return err
				}
				if changed {
					differ++
					fmt.Fprintln(c.OutOrStdout(), name)
				}
			}
			if check && differ > 0 {
				return &shownError{fmt.Errorf("%d files differ", differ), 1}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&check, "check", false, "change nothing; list what would change and exit 1")
	return c
}

// format rewrites one file, or only tells whether it would.
func format(c *cobra.Command, name string, check bool) (changed bool, err error) {
	src, err := os.ReadFile(name)
	if err != nil {
		return false, &fileError{err}
	}
	out, diags := config.Format(name, src)
	if err := show(c, diags); err != nil {
		return false, err
	}
	if string(out) == string(src) {
		return false, nil
	}
	if check {
		return true, nil
	}
	info, err := os.Stat(name)
	if err != nil {
		return false, &fileError{err}
	}
	return true, os.WriteFile(name, out, info.Mode().Perm())
}

// counts says how much there is of what the files declare.
func counts(cfg *config.Config) string {
	text := plural(len(cfg.Handlers), "handler")
	if n := len(cfg.Limits); n > 0 {
		text += ", " + plural(n, "limit")
	}
	return text + ", " + plural(len(cfg.Queues), "queue")
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
