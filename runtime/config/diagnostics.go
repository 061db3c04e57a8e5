package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// maxWritten bounds what Write prints. Nobody reads more, and each diagnostic costs
// a pass over its file.
const maxWritten = 100

// Diagnostics is what is wrong with a configuration, in the order of the files and
// their lines. The zero value is "nothing". It holds the source lines it needs, with
// secrets masked, and prints no value that a secret could come from.
type Diagnostics struct {
	list  hcl.Diagnostics
	files map[string]*hcl.File
}

// HasErrors says whether the configuration can't be used. Warnings don't count.
func (d Diagnostics) HasErrors() bool { return d.list.HasErrors() }

// Len counts errors and warnings.
func (d Diagnostics) Len() int { return len(d.list) }

// Append returns the diagnostics of both.
func (d Diagnostics) Append(more Diagnostics) Diagnostics {
	all := Diagnostics{
		list:  append(slices.Clip(d.list), more.list...),
		files: map[string]*hcl.File{},
	}
	for _, files := range []map[string]*hcl.File{d.files, more.files} {
		for name, f := range files {
			all.files[name] = f
		}
	}
	all.sort()
	return all
}

// sort orders by place; what has no place comes first.
func (d Diagnostics) sort() {
	slices.SortStableFunc(d.list, func(a, b *hcl.Diagnostic) int {
		switch {
		case a.Subject == nil && b.Subject == nil:
			return 0
		case a.Subject == nil:
			return -1
		case b.Subject == nil:
			return 1
		}
		if c := strings.Compare(a.Subject.Filename, b.Subject.Filename); c != 0 {
			return c
		}
		return a.Subject.Start.Byte - b.Subject.Start.Byte
	})
}

// Write prints the diagnostics for a person: each with its place, the source line
// and the remedy. Text is wrapped at width, 0 for never; color is for terminals.
func (d Diagnostics) Write(w io.Writer, width int, color bool) error {
	list := d.list
	if len(list) > maxWritten {
		list = list[:maxWritten]
	}
	dw := hcl.NewDiagnosticTextWriter(w, d.files, uint(max(0, width)), color)
	if err := dw.WriteDiagnostics(list); err != nil {
		return fmt.Errorf("write diagnostics: %w", err)
	}
	if more := len(d.list) - len(list); more > 0 {
		if _, err := fmt.Fprintf(w, "… and %d more.\n\n", more); err != nil {
			return fmt.Errorf("write diagnostics: %w", err)
		}
	}
	return nil
}

// Error is one line: the first diagnostic with its place, and how many more there
// are. It makes Diagnostics an error; see Err.
func (d Diagnostics) Error() string {
	if len(d.list) == 0 {
		return "no diagnostics"
	}
	first := d.list[0]
	for _, x := range d.list { // an error says more than a warning before it
		if x.Severity == hcl.DiagError {
			first = x
			break
		}
	}
	var b strings.Builder
	if first.Subject != nil {
		fmt.Fprintf(&b, "%s:%d: ", first.Subject.Filename, first.Subject.Start.Line)
	}
	b.WriteString(first.Summary)
	if first.Detail != "" {
		b.WriteString(": " + first.Detail)
	}
	if more := len(d.list) - 1; more > 0 {
		fmt.Fprintf(&b, " (and %d more)", more)
	}
	return b.String()
}

// Err is d as an error, or nil when it has no errors.
func (d Diagnostics) Err() error {
	if !d.HasErrors() {
		return nil
	}
	return d
}

// MarshalJSON is a list of objects: severity ("error", "warning"), summary, detail,
// and where there is a place, file, line, column and snippet (the line itself).
func (d Diagnostics) MarshalJSON() ([]byte, error) {
	type object struct {
		Severity string `json:"severity"`
		Summary  string `json:"summary"`
		Detail   string `json:"detail"`
		File     string `json:"file,omitempty"`
		Line     int    `json:"line,omitempty"`
		Column   int    `json:"column,omitempty"`
		Snippet  string `json:"snippet,omitempty"`
	}
	list := make([]object, 0, len(d.list))
	for _, x := range d.list {
		o := object{Severity: "error", Summary: x.Summary, Detail: x.Detail}
		if x.Severity == hcl.DiagWarning {
			o.Severity = "warning"
		}
		if s := x.Subject; s != nil {
			o.File, o.Line, o.Column = s.Filename, s.Start.Line, s.Start.Column
			if f := d.files[s.Filename]; f != nil {
				o.Snippet = lineAt(f.Bytes, s.Start.Byte)
			}
		}
		list = append(list, o)
	}
	return json.Marshal(list)
}

// lineAt is the line that holds the byte at offset, without its indentation.
func lineAt(src []byte, offset int) string {
	offset = min(max(0, offset), len(src))
	start := bytes.LastIndexByte(src[:offset], '\n') + 1
	end := bytes.IndexByte(src[offset:], '\n')
	if end < 0 {
		end = len(src)
	} else {
		end += offset
	}
	return strings.TrimSpace(string(src[start:end]))
}
