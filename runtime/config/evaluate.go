package config

import (
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// value evaluates a, converted to want. False: absent, null or reported.
func (d *decoder) value(a attribute, want cty.Type, wantText string) (cty.Value, bool) {
	if a == nil {
		return cty.NilVal, false
	}
	return d.exprValue(a.Name, a.Expr, want, wantText)
}

func (d *decoder) exprValue(name string, expr hcl.Expression, want cty.Type, wantText string) (cty.Value, bool) {
	v, diags := expr.Value(d.eval.context(expr.Range().Filename))
	if diags.HasErrors() {
		d.diags = append(d.diags, d.explain(diags)...)
		return cty.NilVal, false
	}
	if v.IsNull() {
		return cty.NilVal, false
	}
	// Text for a number is fine: env gives text. A number for text is a missing
	// quote or a missing unit.
	loose := want == cty.Number || want == cty.Bool || want == cty.DynamicPseudoType
	if !v.IsWhollyKnown() || !loose && !strictlyFits(v.Type(), want) {
		d.wrongType(name, expr, wantText, v)
		return cty.NilVal, false
	}
	c, err := convert.Convert(v, want)
	if err != nil || c.IsNull() || !c.IsWhollyKnown() {
		d.wrongType(name, expr, wantText, v)
		return cty.NilVal, false
	}
	return c, true
}

func (d *decoder) wrongType(name string, expr hcl.Expression, wantText string, got cty.Value) {
	d.errorAt(expr.Range(), "Wrong type", "%s must be %s, but this is %s.", name, wantText, typeText(got))
}

// strictlyFits says whether a value of type got is of type want, tuples being lists
// and objects being maps.
func strictlyFits(got, want cty.Type) bool {
	fits := func(elements []cty.Type) bool {
		for _, e := range elements {
			if !strictlyFits(e, want.ElementType()) {
				return false
			}
		}
		return true
	}
	switch {
	case want.IsListType() && got.IsTupleType():
		return fits(got.TupleElementTypes())
	case want.IsMapType() && got.IsObjectType():
		for _, e := range got.AttributeTypes() {
			if !strictlyFits(e, want.ElementType()) {
				return false
			}
		}
		return true
	}
	return got.Equals(want)
}

func typeText(v cty.Value) string {
	switch t := v.Type(); {
	case t.IsTupleType():
		for _, e := range v.AsValueSlice() {
			if e.Type() != cty.String {
				return "a list that holds " + typeText(e)
			}
		}
		return "a list"
	case t.IsObjectType():
		for _, name := range slices.Sorted(maps.Keys(t.AttributeTypes())) {
			if e := v.GetAttr(name); e.Type() != cty.String {
				return fmt.Sprintf("an object in which %q is %s", shorten(name), typeText(e))
			}
		}
		return "an object"
	case v.IsNull():
		return "null"
	case t == cty.String:
		return "text"
	case t == cty.Number:
		return "a number"
	case t == cty.Bool:
		return "true or false"
	case t.IsListType() || t.IsSetType():
		return "a list"
	case t.IsMapType():
		return "an object"
	}
	return "something else"
}

// explain turns the evaluator's answers into ones that fit this language.
func (d *decoder) explain(diags hcl.Diagnostics) hcl.Diagnostics {
	for _, x := range diags {
		// They would make the writer print values, which may be secrets.
		x.Expression, x.EvalContext = nil, nil
		if x.Summary == "Variables not allowed" && x.Subject != nil {
			x.Summary = "Not a value"
			x.Detail = "There are no variables here. Text is written in quotes."
			if f := d.files[x.Subject.Filename]; f != nil && x.Subject.CanSliceBytes(f.src) {
				x.Detail += fmt.Sprintf(" Did you mean %q?", shorten(string(x.Subject.SliceBytes(f.src))))
			}
		}
	}
	// One mistake, one diagnostic: the first says it.
	return diags[:1]
}
