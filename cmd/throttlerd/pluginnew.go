package main

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"text/template"

	"github.com/spf13/cobra"
	"golang.org/x/mod/modfile"
)

//go:embed newplugin/*.tmpl
var newPlugin embed.FS

// sdkModule is the module that has package pluginapi.
const sdkModule = "github.com/throttlerd/throttlerd"

// pluginName is what can name a handler, a file and a Go module at once.
var pluginName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,63}$`)

func pluginNewCommand() *cobra.Command {
	var sdk string
	c := &cobra.Command{
		Use:   "new [DIR/]NAME",
		Short: "Write a new plugin: a Go module with a handler, its test and its HCL",
		Long: "Writes the directory NAME with a Go module that builds and whose test passes at once:\n" +
			"main.go, main_test.go, Makefile, config.hcl. --sdk names a checkout of throttlerd to\n" +
			"build with, by a replace directive; a build that is no release needs it. Exit code 4 when there is a NAME already.",
		Example: "  throttlerd plugin new hello --sdk ~/src/throttlerd\n  make -C hello && throttlerd dev -c hello/config.hcl",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			dir, name := args[0], filepath.Base(args[0])
			if !pluginName.MatchString(name) {
				return &usageError{fmt.Errorf("%q cannot name a plugin: 1 to 64 of a-z 0-9 _ -, the first a letter", name)}
			}
			if sdk == "" && builtFrom() == unreleased {
				return &usageError{errors.New("this throttlerd is no release, whose module Go could fetch: name a checkout of its source with --sdk DIR")}
			}
			files, err := pluginFiles(name, sdk)
			if err != nil {
				return err
			}
			if err := writeNew(dir, files); err != nil {
				return err
			}
			steps := "make -C " + dir
			if sdk == "" {
				steps = "(cd " + dir + " && go mod tidy) && " + steps
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "wrote %s/. Next:\n  %s\n  throttlerd dev -c %[1]s/config.hcl\n  throttlectl -c %[1]s/config.hcl submit %[3]s '{\"name\":\"world\"}'\n", dir, steps, name)
			return err
		},
	}
	c.Flags().StringVar(&sdk, "sdk", "", "a checkout of throttlerd to build with")
	return c
}

// pluginFiles are the files of a new plugin by their names.
func pluginFiles(name, sdk string) (map[string][]byte, error) {
	files, err := moduleFiles(name, sdk)
	if err != nil {
		return nil, err
	}
	all, err := template.ParseFS(newPlugin, "newplugin/*.tmpl")
	if err != nil {
		return nil, err
	}
	for _, t := range all.Templates() {
		var out bytes.Buffer
		if err := t.Execute(&out, struct{ Name string }{name}); err != nil {
			return nil, err
		}
		file := strings.TrimSuffix(t.Name(), ".tmpl")
		if file == "gitignore" {
			file = ".gitignore"
		}
		files[file] = out.Bytes()
	}
	return files, nil
}

// moduleFiles are go.mod and, with a checkout of throttlerd, go.sum: the new module then
// needs what that one needs, in the same versions.
func moduleFiles(name, sdk string) (map[string][]byte, error) {
	mod := new(modfile.File)
	if err := mod.AddModuleStmt("example.com/" + name); err != nil {
		return nil, err
	}
	if sdk == "" {
		err := errors.Join(mod.AddGoStmt("1.26.0"), mod.AddRequire(sdkModule, builtFrom()))
		out, _ := mod.Format()
		return map[string][]byte{"go.mod": out}, err
	}
	root, err := filepath.Abs(sdk)
	if err != nil {
		return nil, err
	}
	notOne := func(err error) (map[string][]byte, error) {
		return nil, &fileError{fmt.Errorf("--sdk %s is no checkout of throttlerd: %w", sdk, err)}
	}
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return notOne(err)
	}
	of, err := modfile.Parse("go.mod", text, nil)
	if err != nil {
		return notOne(err)
	}
	if of.Module == nil || of.Module.Mod.Path != sdkModule || of.Go == nil {
		return notOne(errors.New("its go.mod is of another module"))
	}
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		return notOne(err)
	}
	if err := errors.Join(mod.AddGoStmt(of.Go.Version), mod.AddReplace(sdkModule, "", root, "")); err != nil {
		return nil, err
	}
	mod.AddNewRequire(sdkModule, unreleased, false)
	for _, r := range of.Require {
		mod.AddNewRequire(r.Mod.Path, r.Mod.Version, true)
	}
	out, err := mod.Format()
	return map[string][]byte{"go.mod": out, "go.sum": sums}, err
}

// builtFrom is the version of throttlerd that runs.
func builtFrom() string {
	if info, ok := debug.ReadBuildInfo(); ok && strings.HasPrefix(info.Main.Version, "v") && !strings.Contains(info.Main.Version, "+dirty") {
		return info.Main.Version
	}
	return unreleased
}

const unreleased = "v0.0.0"

// writeNew makes a directory that is not there with files in it; all or nothing.
func writeNew(dir string, files map[string][]byte) error {
	if err := os.Mkdir(dir, 0o755); errors.Is(err, fs.ErrExist) {
		return &conflictError{fmt.Errorf("%s is there already; take another name, or remove it", dir)}
	} else if err != nil {
		return &fileError{err}
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			os.RemoveAll(dir)
			return &fileError{err}
		}
	}
	return nil
}
