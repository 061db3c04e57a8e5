package config

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// decoder collects diagnostics while blocks become settings. Its readers share one
// shape: an attribute that is absent or null leaves *to, which holds the default,
// alone; one that is wrong adds exactly one diagnostic and leaves it alone too. They
// return true when *to was set.
type decoder struct {
	eval  *evaluator
	opts  Options
	files map[string]*sourceFile
	diags hcl.Diagnostics

	reattach map[string]*Reattach // by handler
	unknown  map[string][]int     // as unknownArguments returns them
}

func (d *decoder) errorAt(at hcl.Range, summary, detail string, args ...any) {
	d.report(hcl.DiagError, at, summary, detail, args...)
}

func (d *decoder) report(severity hcl.DiagnosticSeverity, at hcl.Range, summary, detail string, args ...any) {
	d.diags = append(d.diags, &hcl.Diagnostic{
		Severity: severity,
		Summary:  summary,
		Detail:   fmt.Sprintf(detail, args...),
		Subject:  &at,
	})
}

// didYouMean is the function of that name as long as mistakes are few: a search costs,
// and nobody reads more.
func (d *decoder) didYouMean(name string, candidates []string) string {
	if len(d.diags) >= maxWritten {
		return ""
	}
	return didYouMean(name, candidates)
}

func (d *decoder) text(a attribute, to *string) bool {
	v, ok := d.value(a, cty.String, "text in quotes")
	if ok {
		*to = v.AsString()
	}
	return ok
}

// name reads text that must be a name.
func (d *decoder) name(a attribute, to *string) bool {
	s := ""
	if !d.text(a, &s) {
		return false
	}
	if err := CheckName(a.Name, s); err != nil {
		d.errorAt(a.Expr.Range(), "Invalid name", "%s", sentence(err))
		return false
	}
	*to = s
	return true
}

// choice reads text that must be one of a few words.
func (d *decoder) choice(a attribute, to *string, words ...string) bool {
	s := ""
	if !d.text(a, &s) {
		return false
	}
	if !slices.Contains(words, s) {
		d.errorAt(a.Expr.Range(), "Unknown "+a.Name, "%s is %q; it can be one of %s.%s",
			a.Name, shorten(s), quotedList(words), didYouMean(strings.ToLower(s), words))
		return false
	}
	*to = s
	return true
}

func (d *decoder) boolean(a attribute, to *bool) bool {
	v, ok := d.value(a, cty.Bool, "true or false")
	if ok {
		*to = v.True()
	}
	return ok
}

// integer reads a whole number from low to high.
func (d *decoder) integer(a attribute, to *int, low, high int) bool {
	v, ok := d.value(a, cty.Number, "a number")
	if !ok {
		return false
	}
	f, _ := v.AsBigFloat().Float64() // beyond 2^53 it is out of every range here
	if f != math.Trunc(f) || f < float64(low) || f > float64(high) {
		d.errorAt(a.Expr.Range(), "Number out of range", "%s must be a whole number from %d to %d.", a.Name, low, high)
		return false
	}
	*to = int(f)
	return true
}

// fraction reads a number from 0 to 1.
func (d *decoder) fraction(a attribute, to *float64) bool {
	v, ok := d.value(a, cty.Number, "a number")
	if !ok {
		return false
	}
	f, _ := v.AsBigFloat().Float64()
	if f < 0 || f > 1 {
		d.errorAt(a.Expr.Range(), "Number out of range", "%s must be a number from 0 to 1.", a.Name)
		return false
	}
	*to = f
	return true
}

func (d *decoder) duration(a attribute, to *time.Duration, low, high time.Duration) bool {
	v, ok := d.value(a, cty.String, `a duration in quotes, such as "30s"`)
	if !ok {
		return false
	}
	got, err := ParseDuration(v.AsString())
	switch {
	case err != nil:
		d.errorAt(a.Expr.Range(), "Invalid duration", "%s: %s", a.Name, sentence(err))
		return false
	case got < low || got > high:
		d.errorAt(a.Expr.Range(), "Duration out of range", "%s is %q; it must be from %q to %q.",
			a.Name, v.AsString(), formatDuration(low), formatDuration(high))
		return false
	}
	*to = got
	return true
}

func (d *decoder) size(a attribute, to *int, low, high int) bool {
	v, ok := d.value(a, cty.String, `a size in quotes, such as "256KiB"`)
	if !ok {
		return false
	}
	got, err := parseSize(v.AsString())
	switch {
	case err != nil:
		d.errorAt(a.Expr.Range(), "Invalid size", "%s: %s", a.Name, sentence(err))
		return false
	case got < low || got > high:
		d.errorAt(a.Expr.Range(), "Size out of range", "%s is %q; it must be from %q to %q.",
			a.Name, v.AsString(), formatSizeText(low), formatSizeText(high))
		return false
	}
	*to = got
	return true
}

func (d *decoder) textList(a attribute, to *[]string) bool {
	v, ok := d.value(a, cty.List(cty.String), `a list of texts in quotes, such as ["a", "b"]`)
	if !ok {
		return false
	}
	list := []string{}
	for it := v.ElementIterator(); it.Next(); {
		_, e := it.Element()
		list = append(list, e.AsString())
	}
	*to = list
	return true
}

func (d *decoder) textMap(a attribute, to *map[string]string) bool {
	v, ok := d.value(a, cty.Map(cty.String), `an object of texts in quotes, such as { NAME = "value" }`)
	if !ok {
		return false
	}
	m := map[string]string{}
	for it := v.ElementIterator(); it.Next(); {
		k, e := it.Element()
		m[k.AsString()] = e.AsString()
	}
	*to = m
	return true
}

// single returns the only block of a kind. More than one is an error that names the
// place of the first.
func single[B any](d *decoder, kind string, blocks []*B, at func(*B) hcl.Range) *B {
	if len(blocks) == 0 {
		return nil
	}
	for _, b := range blocks[1:] {
		d.errorAt(at(b), "Duplicate block", "There can be one %s block; the first is at %s.", kind, place(at(blocks[0])))
	}
	return blocks[0]
}

func place(r hcl.Range) string { return fmt.Sprintf("%s:%d", r.Filename, r.Start.Line) }

// sentence is an error's text with its full stop.
func sentence(err error) string {
	s := err.Error()
	if strings.HasSuffix(s, ".") || strings.HasSuffix(s, "?") {
		return s
	}
	return s + "."
}
