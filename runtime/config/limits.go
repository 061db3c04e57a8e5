package config

import (
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"

	"github.com/throttlerd/throttlerd/ratelimit"
)

const (
	maxCap    = 1_000_000
	maxLimits = 8
)

// ownLimits are what a task's cost calls limits that have no name of their own.
var ownLimits = map[string]string{"queue": "its queue's own limit", "key": "its key's limit"}

func (d *decoder) limits(blocks []*limitBlock, c *Config) {
	seen := map[string]hcl.Range{}
	for _, b := range blocks {
		ok := d.declared("limit", b.Name, b.NameAt, seen)
		if own, reserved := ownLimits[b.Name]; ok && reserved {
			d.errorAt(b.NameAt, "Reserved name", "A limit can't be called %q: in a task's cost that is %s. Did you mean %q?", b.Name, own, b.Name+"-limit")
			ok = false
		}
		before := len(d.diags)
		l := Limit{Name: b.Name}
		d.limitSpec(b.Body, b.Rate, b.Concurrency, b.DebtMax, &l.LimitSpec)
		if len(d.diags) == before && len(l.Rates) == 0 && l.Concurrency == 0 && !d.unknownIn(b.Body) {
			d.errorAt(b.At, "Limit without a bound", "Limit %q bounds nothing. Give it a rate, such as \"10/1s:5\", or a concurrency, or both.", shorten(b.Name))
		}
		if ok {
			c.Limits = append(c.Limits, l)
		}
	}
}

// limitSpec reads what a limit block and a queue have in common.
func (d *decoder) limitSpec(body hcl.Body, rate, concurrency, debtMax attribute, to *LimitSpec) {
	before := len(d.diags)
	d.rates(rate, false, &to.Rates)
	known := len(d.diags) == before
	d.integer(concurrency, &to.Concurrency, 1, maxCap)
	debt := 0
	if !d.integer(debtMax, &debt, 0, ratelimit.MaxCount) || debt == 0 || !known {
		return
	}
	at := debtMax.Expr.Range()
	switch least := to.Rates.Capacity(); {
	case least == 0 && d.unknownIn(body): // that one may be the rate
	case least == 0:
		d.errorAt(at, "Rate missing", "debt_max says how far below zero a reported actual cost may take the tokens, so it needs a rate. Add one, or take debt_max out.")
	case int64(debt) > least:
		d.errorAt(at, "Number out of range", "debt_max is %d; it must be from 0 to %d, the least burst of the rates.", debt, least)
	default:
		to.DebtMax = int64(debt)
	}
}

// queueLimits reads the names of limits that a queue is under.
func (d *decoder) queueLimits(b *queueBlock, declared []string, to *[]string) {
	parts, list := d.elements(b.Limits)
	want := `names in quotes, such as ["github"]`
	if !list && len(parts) == 1 {
		want = "a list of " + want
		if v, ok := d.element(b.Limits.Name, parts[0], want); ok {
			d.errorAt(b.Limits.Expr.Range(), "Wrong type", "limits must be %s, but this is text. Did you mean [%q]?", want, shorten(v))
		}
		return
	}
	for i, e := range parts {
		if i == maxLimits {
			d.errorAt(e.Range(), "Too many limits", "%d limits are too many; a queue can be under %d.", len(parts), maxLimits)
			return
		}
		name, ok := d.element(b.Limits.Name, e, want)
		if !ok {
			continue
		}
		_, there := slices.BinarySearch(declared, name)
		switch {
		case !there:
			d.errorAt(e.Range(), "Unknown limit", "Queue %q is under limit %q, but no limit block has that name.%s %s",
				shorten(b.Name), shorten(name), d.didYouMean(name, declared), listDeclared("limit", declared))
		case slices.Contains(*to, name):
			d.errorAt(e.Range(), "Duplicate limit", "Limit %q is there twice; take one out.", shorten(name))
		default:
			*to = append(*to, name)
		}
	}
}

// labels are the names that blocks declare, sorted, also those with mistakes: what
// refers to one makes no second mistake.
func labels[B any](blocks []*B, label func(*B) string) []string {
	var names []string
	for _, b := range blocks {
		names = append(names, label(b))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func listDeclared(kind string, names []string) string {
	if len(names) == 0 {
		return fmt.Sprintf("No %s is declared; add a %s block.", kind, kind)
	}
	return fmt.Sprintf("Declared %ss: %s.", kind, quotedList(names))
}
