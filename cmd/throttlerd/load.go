package main

import (
	"fmt"
	"io"
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/throttlerd/throttlerd/runtime/config"
)

// loadSettings is loadConfig for a command that needs to know no more than where Redis is:
// the file may be absent, and its plugins are not looked at.
func loadSettings(c *cobra.Command, flag string) (*config.Config, error) {
	path, chosen := config.Path(flag, nil)
	cfg := config.Default()
	if _, err := os.Stat(path); chosen || err == nil {
		var diags config.Diagnostics
		if cfg, diags = config.Load(path, config.Options{SkipPlugins: true, SkipValues: true}); diags.HasErrors() {
			return nil, show(c, diags)
		}
	}
	return cfg, override(cfg)
}

func override(cfg *config.Config) error {
	if err := cfg.Override(config.Flags{}, nil); err != nil {
		return &usageError{err}
	}
	return nil
}

// loadConfig reads the files, then the environment. What is wrong with them is printed
// as diagnostics; the error then says no more.
func loadConfig(c *cobra.Command, flag string) (*config.Config, error) {
	path, chosen := config.Path(flag, nil)
	if !chosen {
		if _, err := os.Stat(path); err != nil {
			return nil, &fileError{fmt.Errorf("no configuration: there is no ./%s; name a file or directory with -c, or try `throttlerd dev`", path)}
		}
	}
	cfg, diags := config.Load(path, config.Options{Reattach: os.Getenv(config.EnvReattach)})
	if err := show(c, diags); err != nil {
		return nil, err
	}
	return cfg, override(cfg)
}

// show prints diagnostics, and returns an error when there are errors among them.
func show(c *cobra.Command, diags config.Diagnostics) error {
	if diags.Len() == 0 {
		return nil
	}
	w := c.ErrOrStderr()
	width, color := 78, false
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil {
			width = n
		}
		color = os.Getenv("NO_COLOR") == ""
	}
	if err := diags.Write(w, width, color); err != nil {
		return err
	}
	if diags.HasErrors() {
		return &shownError{diags, 7}
	}
	return nil
}

func newLog(w io.Writer, cfg config.Log, level string) (hclog.Logger, error) {
	if level == "" {
		level = cfg.Level
	}
	l := hclog.LevelFromString(level)
	if l == hclog.NoLevel {
		return nil, &usageError{fmt.Errorf("log level %q is none of trace, debug, info, warn, error, off", level)}
	}
	return hclog.New(&hclog.LoggerOptions{Name: "throttlerd", Level: l, Output: w, JSONFormat: cfg.Format == "json"}), nil
}
