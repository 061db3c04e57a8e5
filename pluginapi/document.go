package pluginapi

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// Document writes what a plugin says of itself for people: what it is, the types of
// task it knows, its config block, its payloads.
func (info Info) Document(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.TrimSpace(info.Name+" "+info.Version))
	if info.Doc != "" {
		fmt.Fprintf(t, "%s.\n", strings.TrimSuffix(info.Doc, "."))
	}
	if len(info.TaskTypes) > 0 {
		fmt.Fprintf(t, "\nTypes of task: %s\n", quoteEmpty(info.TaskTypes))
	}
	switch {
	case info.Config == nil:
		fmt.Fprintln(t, "\nIt does not say what its config block takes.")
	case len(info.Config) == 0:
		fmt.Fprintln(t, "\nIt takes no config.")
	default:
		fmt.Fprintln(t, "\nConfig:")
		writeAttributes(t, info.Config)
	}
	for _, kind := range slices.Sorted(maps.Keys(info.Payloads)) {
		of := ""
		if kind != "" {
			of = fmt.Sprintf(" of %q", kind)
		}
		fmt.Fprintf(t, "\nPayload%s:\n", of)
		writeAttributes(t, info.Payloads[kind])
	}
	return t.Flush()
}

func writeAttributes(w io.Writer, list []Attribute) {
	for _, a := range list {
		kind := a.Type
		switch {
		case a.Required:
			kind += ", required"
		case a.Default != "":
			kind += ", default " + a.Default
		}
		if a.Sensitive {
			kind += ", secret"
		}
		fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("  %s\t%s\t%s", a.Name, kind, a.Doc), "\t"))
	}
}

// quoteEmpty joins names, one of which may be empty.
func quoteEmpty(names []string) string {
	shown := slices.Clone(names)
	for i, name := range shown {
		if name == "" {
			shown[i] = `""`
		}
	}
	return strings.Join(shown, ", ")
}
