package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/runtime/config"
	"github.com/throttlerd/throttlerd/runtime/pluginhost"
)

func pluginCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "plugin",
		Short: "Make, describe and try handler plugins, without Redis",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_ = c.Help()
			return &usageError{errors.New("a command is needed: new, run, describe or list")}
		},
	}
	c.AddCommand(pluginNewCommand(), pluginRunCommand(), pluginDescribeCommand(), pluginListCommand())
	return c
}

// describeTime is the most that a plugin may take to say what it is.
const describeTime = 30 * time.Second

func pluginDescribeCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "describe BINARY",
		Short: "Print what a plugin does, its types of task, its config and its payloads",
		Long: "Starts a plugin, asks it what it is and ends it. BINARY is a path, or the bare name of a\n" +
			"file in the plugin_dir of ./config.hcl (THROTTLE_CONFIG), or else beside throttlerd.",
		Example: "  throttlerd plugin describe webhook\n  throttlerd plugin describe ./bin/hello --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			path, err := findPlugin(args[0])
			if err != nil {
				return err
			}
			info, err := describe(path)
			if err != nil {
				return &fileError{err}
			}
			if asJSON {
				return printJSON(c, viewInfo(path, info))
			}
			return info.Document(c.OutOrStdout())
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "one JSON object")
	return c
}

func pluginListCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "list [DIR]",
		Short: "List the plugins of a directory",
		Long: "Starts each binary of a directory, asks it what it is and ends it. DIR is the plugin_dir\n" +
			"of ./config.hcl (THROTTLE_CONFIG) if there is one, else \"plugins\" beside throttlerd.",
		Example: "  throttlerd plugin list\n  throttlerd plugin list bin/plugins --json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			dir := pluginDir()
			if len(args) > 0 {
				dir = args[0]
			}
			entries, err := os.ReadDir(dir)
			if err != nil {
				return &fileError{fmt.Errorf("no plugins: %w; name their directory", err)}
			}
			views := []infoView{}
			for _, e := range entries {
				path := filepath.Join(dir, e.Name())
				if pluginhost.Check(path) == nil {
					views = append(views, listed(path))
				}
			}
			if asJSON {
				return printJSON(c, views)
			}
			t := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "PLUGIN\tNAME\tVERSION\tTYPES\tABOUT")
			for _, v := range views {
				about := v.Doc
				if v.Error != nil {
					about, _, _ = strings.Cut("BROKEN: "+*v.Error, "\n")
				}
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", filepath.Base(v.Path), v.Name, v.Version, strings.Join(v.Types, ","), about)
			}
			return t.Flush()
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "one JSON array")
	return c
}

// describe asks a plugin what it is. There is nothing to hide, so that a plugin which
// cannot make certificates need not.
func describe(path string) (pluginapi.Info, error) {
	stopped, release := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer release() // so that nothing of the plugin stays
	ctx, cancel := context.WithTimeout(stopped, describeTime)
	defer cancel()
	return pluginhost.Describe(ctx, pluginhost.Spec{Handler: filepath.Base(path), Path: path})
}

// listed is a plugin, or what keeps it from saying what it is.
func listed(path string) infoView {
	info, err := describe(path)
	v := viewInfo(path, info)
	if err != nil {
		text := err.Error()
		if e, ok := errors.AsType[*pluginhost.StartError](err); ok {
			text = e.Reason
		}
		v.Error = &text
	}
	return v
}

// pluginDir is where plugins are looked for by their bare names.
func pluginDir() string {
	path, _ := config.Path("", nil)
	if _, err := os.Stat(path); err == nil {
		if cfg, diags := config.Load(path, config.Options{SkipPlugins: true, SkipValues: true}); !diags.HasErrors() {
			return cfg.PluginDir
		}
	}
	return config.Default().PluginDir
}

// findPlugin takes a path, or the bare name of a plugin.
func findPlugin(name string) (string, error) {
	if strings.ContainsRune(name, filepath.Separator) {
		return name, asFile(pluginhost.Check(name))
	}
	dir := pluginDir()
	if path := filepath.Join(dir, name); pluginhost.Check(path) == nil {
		return path, nil
	}
	if pluginhost.Check(name) == nil {
		return name, nil
	}
	var names []string
	if entries, err := os.ReadDir(dir); err == nil {
		for _, e := range entries {
			names = append(names, e.Name())
		}
	}
	known := "it has none"
	if len(names) > 0 {
		slices.Sort(names)
		known = "it has " + strings.Join(names, ", ")
	}
	return "", &fileError{fmt.Errorf("no plugin %q in %s: %s; or give a path, such as ./%[1]s", name, dir, known)}
}

func asFile(err error) error {
	if err == nil {
		return nil
	}
	return &fileError{err}
}
