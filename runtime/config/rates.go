package config

import (
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/throttlerd/throttlerd/ratelimit"
)

// unlimited lifts a rate, where there is one to lift.
const unlimited = "unlimited"

// rates reads one rate, or a list of them. lift says that "unlimited" may stand instead,
// and is none.
func (d *decoder) rates(a attribute, lift bool, to *ratelimit.Rates) bool {
	remedy := "Where none should hold, leave the attribute out."
	if lift {
		remedy = `Where none should hold for this key, write rate = "unlimited".`
	}
	parts, list := d.elements(a)
	if list && len(parts) == 0 {
		d.errorAt(a.Expr.Range(), "Invalid rate", "The list of rates is empty. %s", remedy)
	}
	want := `a rate in quotes, such as "10/1s:5"`
	if !list {
		want += ", or a list of rates"
	}
	var rs ratelimit.Rates
	ok := len(parts) > 0
	for i, e := range parts {
		if i == ratelimit.MaxRates {
			d.errorAt(e.Range(), "Too many rates", "%d rates are too many; at most %d hold at once.", len(parts), ratelimit.MaxRates)
			return false
		}
		text, read := d.element(a.Name, e, want)
		if lift && !list && text == unlimited {
			break
		}
		if !read || !d.rate(e.Range(), text, remedy, &rs) {
			ok = false
		}
	}
	if ok {
		*to = rs
	}
	return ok
}

// rate adds one rate to those that were read.
func (d *decoder) rate(at hcl.Range, text, remedy string, to *ratelimit.Rates) bool {
	r, err := ratelimit.Parse(text)
	several := splitRates(text)
	switch {
	case text == unlimited:
		d.errorAt(at, "Invalid rate", "%q is not a rate. %s", text, remedy)
		return false
	case len(several) > 0:
		d.errorAt(at, "Invalid rate", "These are several rates in one text; write a list: [%s].", quotedList(several))
		return false
	case err != nil:
		d.errorAt(at, "Invalid rate", "%s", capital(sentence(err)))
		return false
	}
	rs := append(*to, r)
	if err := rs.Validate(); err != nil {
		d.errorAt(at, "Invalid rate", "%s", capital(sentence(err)))
		return false
	}
	*to = rs
	return true
}

// splitRates takes apart what throttlectl shows of several rates; none for other texts.
func splitRates(text string) (parts []string) {
	if len(text) > 256 || !strings.Contains(text, ",") {
		return nil
	}
	rs, _ := ratelimit.ParseRates(text)
	for _, r := range rs {
		parts = append(parts, r.String())
	}
	return parts
}

// elements are the parts of a list, each with its place; what is not a list is the only
// one. None and false: absent or null.
func (d *decoder) elements(a attribute) (parts []hcl.Expression, list bool) {
	if a == nil {
		return nil, false
	}
	if parts, diags := hcl.ExprList(a.Expr); !diags.HasErrors() {
		return parts, true
	}
	at := a.Expr.Range()
	v, diags := a.Expr.Value(d.eval.context(at.Filename))
	switch {
	case diags.HasErrors():
		return []hcl.Expression{a.Expr}, false // whoever reads it reports that
	case v.IsNull():
		return nil, false
	case !v.CanIterateElements() || !v.Type().IsTupleType() && !v.Type().IsListType():
		return []hcl.Expression{hcl.StaticExpr(v, at)}, false
	}
	for _, e := range v.AsValueSlice() {
		parts = append(parts, hcl.StaticExpr(e, at))
	}
	return parts, true
}

// element reads the text of one; in a list null is a mistake.
func (d *decoder) element(name string, e hcl.Expression, want string) (string, bool) {
	before := len(d.diags)
	v, ok := d.exprValue(name, e, cty.String, want)
	if ok {
		return v.AsString(), true
	}
	if len(d.diags) == before {
		d.errorAt(e.Range(), "Wrong type", "%s must be %s, but this is null.", name, want)
	}
	return "", false
}

// capital starts a sentence.
func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
