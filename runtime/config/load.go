package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Options changes how files are loaded. The zero value is right for a worker.
type Options struct {
	// SkipPlugins leaves out the check that each handler's plugin is there and may
	// be executed: for throttlectl, and for checking a file on another machine.
	SkipPlugins bool
	// SkipValues leaves out args, env and config of handlers: for where handlers do not run,
	// and what these take from the environment is not there.
	SkipValues bool
	// PluginDir is where plugins are when the files don't say; "" is the directory
	// "plugins" beside the executable.
	PluginDir string
	// Reattach is the value of EnvReattach; "" starts every plugin.
	Reattach string
	// LookupEnv answers env(…); nil is os.LookupEnv.
	LookupEnv func(name string) (string, bool)
}

// Load reads a file, or all *.hcl files of a directory in the order of their names
// as if they were one. The Config is nil exactly when the diagnostics have errors.
// It reports all mistakes at once; only a file that can't be parsed hides those
// behind it. It reads the environment only where a file says env(…): see Override.
func Load(path string, opts Options) (*Config, Diagnostics) {
	if opts.LookupEnv == nil {
		opts.LookupEnv = os.LookupEnv
	}
	files, diags := readFiles(path)
	if diags.HasErrors() {
		return nil, finish(diags, files)
	}
	parsed, diags := parse(files)
	if diags.HasErrors() && !sound(diags) {
		return nil, finish(diags, files)
	}

	d := &decoder{eval: newEvaluator(opts.LookupEnv), opts: opts, files: files, diags: diags}
	var raw fileBlock
	unknown := gohcl.DecodeBody(hcl.MergeFiles(parsed), nil, &raw)
	suggest(unknown, files)
	d.diags = append(d.diags, unknown...)
	d.unknown = unknownArguments(unknown)
	c := d.config(&raw)
	c.origin.files = hclFiles(files)

	out := finish(d.diags, files)
	if out.HasErrors() {
		return nil, out
	}
	return c, out
}

// sourceFile is a file as it was read.
type sourceFile struct {
	name   string
	src    []byte
	parsed *hcl.File // nil until parsed
	broken bool      // it has syntax errors
}

// readFiles reads what path names, by file name.
func readFiles(path string) (map[string]*sourceFile, hcl.Diagnostics) {
	files := map[string]*sourceFile{}
	names, err := fileNames(path)
	if err != nil {
		return files, hcl.Diagnostics{refuse("No configuration", "%s", sentence(err))}
	}
	var diags hcl.Diagnostics
	for _, name := range names {
		src, err := readSource(name)
		if err != nil {
			diags = append(diags, refuse("File not readable", "%s: %s.", name, reason(err)))
			continue
		}
		files[name] = &sourceFile{name: name, src: src}
		diags = append(diags, prescan(src, name)...)
	}
	return files, diags
}

// fileNames lists the files that path stands for.
func fileNames(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %s; name a file or a directory of *.hcl files with -c, or by THROTTLE_CONFIG", path, reason(err))
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path) // in the order of the names
	if err != nil {
		return nil, fmt.Errorf("%s: %s", path, reason(err))
	}
	var names []string
	for _, e := range entries {
		if name := e.Name(); strings.HasSuffix(name, ".hcl") && !strings.HasPrefix(name, ".") && !e.IsDir() {
			names = append(names, filepath.Join(path, name))
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("the directory %s has no *.hcl file", path)
	}
	return names, nil
}

// readSource reads at most one byte more than a file may have.
func readSource(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFileSize+1))
}

// parse parses all files, in the order of their names.
func parse(files map[string]*sourceFile) ([]*hcl.File, hcl.Diagnostics) {
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	var parsed []*hcl.File
	var diags hcl.Diagnostics
	for _, name := range names {
		f := files[name]
		var more hcl.Diagnostics
		f.parsed, more = hclsyntax.ParseConfig(f.src, name, hcl.InitialPos)
		f.broken = more.HasErrors() && !sound(more)
		diags = append(diags, more...)
		parsed = append(parsed, f.parsed)
	}
	return parsed, diags
}

// sound says whether the parser understood the file in spite of its diagnostics, so
// that reading on finds more mistakes and not echoes of the first.
func sound(diags hcl.Diagnostics) bool {
	for _, d := range diags {
		if d.Severity == hcl.DiagError && d.Summary != "Attribute redefined" {
			return false
		}
	}
	return true
}

// finish makes hcl's diagnostics ours: ordered, with source lines that hide secrets.
func finish(diags hcl.Diagnostics, files map[string]*sourceFile) Diagnostics {
	out := Diagnostics{list: diags}
	if len(diags) > 0 {
		out.files = hclFiles(files)
	}
	out.sort()
	return out
}

// hclFiles is what a diagnostic writer shows lines from.
func hclFiles(files map[string]*sourceFile) map[string]*hcl.File {
	out := map[string]*hcl.File{}
	for name, f := range files {
		// A file that was refused before parsing may be broken in any way.
		shown := &hcl.File{Bytes: mask(f.src, f.parsed == nil || f.broken)}
		if f.parsed != nil {
			shown.Nav = f.parsed.Nav
		}
		out[name] = shown
	}
	return out
}
