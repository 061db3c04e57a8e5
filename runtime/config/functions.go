package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// textBudget bounds all text that the functions of one Load produce. Without it a
// short file could ask for terabytes: join(file("a"), […]), format("%999999999d", 1).
const textBudget = 16 << 20

var errBudget = errors.New("the functions of this configuration produce more than 16 MiB of text")

// environment is how a process's environment is asked: os.LookupEnv, or a test's.
type environment func(name string) (value string, ok bool)

// evaluator gives each file its functions: those that read files do so relative to
// the file they stand in.
type evaluator struct {
	lookup   environment
	left     int // of textBudget
	contexts map[string]*hcl.EvalContext
}

func newEvaluator(lookup environment) *evaluator {
	return &evaluator{lookup: lookup, left: textBudget, contexts: map[string]*hcl.EvalContext{}}
}

// context is the EvalContext for expressions of the named file.
func (e *evaluator) context(filename string) *hcl.EvalContext {
	dir := filepath.Dir(filename)
	ctx, ok := e.contexts[dir]
	if !ok {
		ctx = &hcl.EvalContext{Functions: map[string]function.Function{
			"env":        e.env(),
			"file":       e.file(dir),
			"jsonencode": e.bounded(stdlib.JSONEncodeFunc, nil),
			"format":     e.bounded(stdlib.FormatFunc, formatSize),
			"lower":      e.bounded(stdlib.LowerFunc, nil),
			"upper":      e.bounded(stdlib.UpperFunc, nil),
			"join":       e.bounded(stdlib.JoinFunc, joinSize),
		}}
		e.contexts[dir] = ctx
	}
	return ctx
}

func (e *evaluator) charge(n int) error {
	if n < 0 || n > e.left {
		return errBudget
	}
	e.left -= n
	return nil
}

// bounded is f under the text budget. size, if given, says beforehand how much f
// may produce; 0 where it can't know.
func (e *evaluator) bounded(f function.Function, size func(args []cty.Value) (int, error)) function.Function {
	return function.New(&function.Spec{
		Params:   f.Params(),
		VarParam: f.VarParam(),
		Type:     function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if size != nil {
				n, err := size(args)
				if err != nil {
					return cty.NilVal, err
				}
				if n > e.left {
					return cty.NilVal, errBudget
				}
			}
			v, err := f.Call(args)
			if err == nil && v.IsWhollyKnown() && !v.IsNull() {
				err = e.charge(len(v.AsString()))
			}
			return v, err
		},
	})
}

// env(name) and env(name, default).
func (e *evaluator) env() function.Function {
	return function.New(&function.Spec{
		Params:   []function.Parameter{{Name: "name", Type: cty.String}},
		VarParam: &function.Parameter{Name: "default", Type: cty.String, AllowNull: true},
		Type:     function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			name := args[0].AsString()
			if len(args) > 2 {
				return cty.NilVal, errors.New("env takes a name and at most one default")
			}
			if v, ok := e.lookup(name); ok {
				if !utf8.ValidString(v) {
					return cty.NilVal, fmt.Errorf("environment variable %q is not UTF-8 text", name)
				}
				return cty.StringVal(v), e.charge(len(v))
			}
			if len(args) == 2 {
				return args[1], nil
			}
			return cty.NilVal, fmt.Errorf("environment variable %q is not set; set it, or give a default: env(%q, \"…\")", name, name)
		},
	})
}

// file(path), relative to dir.
func (e *evaluator) file(dir string) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			text, err := readText(inDir(dir, args[0].AsString()))
			if err != nil {
				return cty.NilVal, err
			}
			return cty.StringVal(text), e.charge(len(text))
		},
	})
}

// readText reads a regular file of UTF-8 text of at most 1 MiB.
func readText(path string) (string, error) {
	f, err := openRegular(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("read %s: %w", path, errors.Unwrap(err))
	case len(src) > maxFileSize:
		return "", fmt.Errorf("%s is larger than 1 MiB", path)
	case !utf8.Valid(src):
		return "", fmt.Errorf("%s is not UTF-8 text", path)
	}
	return string(src), nil
}

// openRegular opens a regular file. Others could block or never end.
func openRegular(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %s", path, reason(err))
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %s", path, reason(err))
	}
	return f, nil
}

// reason is an error of the file system without operation and path, which the
// message around it names.
func reason(err error) string {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

// inDir is path, seen from dir when it is relative.
func inDir(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// widths are the numbers between % and its verb: width, precision, argument index.
var widths = regexp.MustCompile(`%[^a-zA-Z%]*[0-9]`)

func formatSize(args []cty.Value) (int, error) {
	spec := args[0].AsString()
	longest := 0
	for _, a := range args[1:] {
		longest = max(longest, textLen(a))
	}
	if widths.MatchString(spec) {
		for _, run := range digits.FindAllString(spec, -1) {
			n, err := strconv.Atoi(run)
			if err != nil || n > 9999 {
				return 0, errors.New("a width or precision has at most 4 digits")
			}
			longest = max(longest, n)
		}
	}
	return len(spec) + strings.Count(spec, "%")*longest, nil
}

var digits = regexp.MustCompile(`[0-9]+`)

func joinSize(args []cty.Value) (int, error) {
	sep, n := len(args[0].AsString()), 0
	for _, list := range args[1:] {
		if list.IsNull() || !list.IsWhollyKnown() {
			continue
		}
		for it := list.ElementIterator(); it.Next(); {
			_, v := it.Element()
			n += sep + textLen(v)
		}
	}
	return n, nil
}

// textLen is the length of v when it is text. Other values come from the file
// itself, which is small.
func textLen(v cty.Value) int {
	if v.IsKnown() && !v.IsNull() && v.Type() == cty.String {
		return len(v.AsString())
	}
	return 0
}
