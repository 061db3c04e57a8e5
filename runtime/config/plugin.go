package config

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// defaultPluginDir is the directory "plugins" beside the executable.
func defaultPluginDir() string {
	exe, err := os.Executable()
	if err != nil {
		return "plugins"
	}
	return filepath.Join(filepath.Dir(exe), "plugins")
}

// plugin finds a handler's binary. named says that the block's label, which is the
// default, was accepted; a bad one needs no second complaint.
func (d *decoder) plugin(b *handlerBlock, named bool, dir string, h *Handler) {
	at, given := b.NameAt, d.text(b.Plugin, &h.Plugin)
	if given {
		at = b.Plugin.Expr.Range()
		if !bareName(h.Plugin) {
			d.errorAt(at, "Invalid plugin", "plugin is %q; it must be the bare name of a file in plugin_dir (%s), without a path.", shorten(h.Plugin), dir)
			return
		}
	} else if b.Plugin != nil || !named {
		return
	}
	h.Path = filepath.Join(dir, h.Plugin)
	if !d.opts.SkipPlugins && h.Reattach == nil {
		d.checkPlugin(at, h, dir)
	}
}

func bareName(s string) bool {
	return s != "" && s != "." && s != ".." && len(s) <= 255 && !strings.ContainsAny(s, "/\\\x00")
}

// checkPlugin reports a plugin that can't be executed.
func (d *decoder) checkPlugin(at hcl.Range, h *Handler, dir string) {
	info, err := os.Stat(h.Path)
	switch {
	case os.IsNotExist(err):
		entries, _ := os.ReadDir(dir) // no directory: no suggestion
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		d.errorAt(at, "Plugin not found",
			"Handler %q needs the plugin %q, but there is no file %s. Put the binary there, or set plugin_dir to the directory that has it.%s",
			h.Name, h.Plugin, h.Path, didYouMean(h.Plugin, names))
	case err != nil:
		d.errorAt(at, "Plugin not found", "Handler %q needs the plugin %s: %s.", h.Name, h.Path, reason(err))
	case info.IsDir():
		d.errorAt(at, "Plugin not executable", "Handler %q needs the plugin %s, but that is a directory.", h.Name, h.Path)
	case info.Mode().Perm()&0o111 == 0:
		d.errorAt(at, "Plugin not executable", "Handler %q needs the plugin %s, which is not executable. Type: chmod +x %s", h.Name, h.Path, h.Path)
	}
}
