package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/throttlerd/throttlerd/runtime/declaration"
	"github.com/throttlerd/throttlerd/scheduler"
)

// deviations are how Redis is not as a file says, by kind.
type deviations struct {
	missing, foreign, older, overridden, left []string
}

// declared checks that Redis has what the file declares. Queues of its owner that the file
// has no more are found among those that were looked at.
func (d *doctor) declared(queues []scheduler.Queue) {
	want := declaration.Of(d.cfg)
	got, err := d.s.QueuesByName(d.s.ctx, slices.Sorted(maps.Keys(want.Queues))...)
	if err != nil {
		d.blind(err, "EVALSHA", "declared")
		return
	}
	limits, err := d.s.LimitsByName(d.s.ctx, slices.Sorted(maps.Keys(want.Limits))...)
	if err != nil {
		d.blind(err, "EVALSHA", "declared")
		return
	}
	var v deviations
	v.queues(want, got)
	v.limits(want, limits)
	for _, q := range queues {
		if _, ok := want.Queues[q.Name]; !ok && q.Owner == want.Owner && !q.Undeclared {
			v.left = append(v.left, fmt.Sprintf("queue %q", q.Name))
		}
	}
	d.all("declared", v.findings(d.file), "Redis has what %s declares for owner %q", d.file, want.Owner)
}

func (v *deviations) queues(want scheduler.Declaration, got []scheduler.Queue) {
	there := make(map[string]scheduler.Queue, len(got))
	for _, q := range got {
		there[q.Name] = q
	}
	for _, name := range slices.Sorted(maps.Keys(want.Queues)) {
		q, ok := there[name]
		label := fmt.Sprintf("queue %q", name)
		lasting := q.QueueSpec
		if q.Override != nil {
			lasting.Rates = q.Override.Base
		}
		applied := lasting
		if q.Declared != nil {
			applied = *q.Declared
		}
		v.put(label, ok, q.Owner, want.Owner, q.Undeclared, difference(applied, want.Queues[name]), difference(lasting, applied), q.Override != nil)
	}
}

func (v *deviations) limits(want scheduler.Declaration, got []scheduler.Limit) {
	there := make(map[string]scheduler.Limit, len(got))
	for _, l := range got {
		there[l.Name] = l
	}
	for _, name := range slices.Sorted(maps.Keys(want.Limits)) {
		l, ok := there[name]
		lasting := l.LimitSpec
		if l.Override != nil {
			lasting.Rates = l.Override.Base
		}
		applied := lasting
		if l.Declared != nil {
			applied = *l.Declared
		}
		v.put(fmt.Sprintf("limit %q", name), ok, l.Owner, want.Owner, l.Undeclared, changes(spelledLimit(applied, nil), spelledLimit(want.Limits[name], nil)),
			changes(spelledLimit(lasting, nil), spelledLimit(applied, nil)), l.Override != nil)
	}
}

// put adds one queue or limit to the kind that it is of. older is how the file that was applied
// differs from this one, by hand how what is in force differs from that.
func (v *deviations) put(label string, there bool, owner, wanted string, undeclared bool, older, byHand []changed, forAWhile bool) {
	switch {
	case !there || owner == "" || undeclared:
		v.missing = append(v.missing, label)
	case owner != wanted:
		v.foreign = append(v.foreign, fmt.Sprintf("%s (owner %q)", label, owner))
	case len(older) > 0:
		v.older = append(v.older, fmt.Sprintf("%s (%s)", label, changeWords(older)))
	case len(byHand) > 0:
		v.overridden = append(v.overridden, fmt.Sprintf("%s (%s)", label, sidesWords(byHand)))
	case forAWhile:
		v.overridden = append(v.overridden, label+" (its rate, for a while)")
	}
}

func sidesWords(list []changed) string {
	words := make([]string, len(list))
	for i, c := range list {
		words[i] = fmt.Sprintf("%s is %s, the file says %s", c.name, c.from, c.to)
	}
	return some(words)
}

func (v *deviations) findings(file string) (out []finding) {
	for _, k := range []struct {
		list                 []string
		status, found, right string
	}{
		{v.foreign, "fail", "declared by another owner", "one file declares a queue or a limit: take it out of one of them, or rename it"},
		{v.missing, "warn", "not declared in Redis", "a worker declares it when it starts, or at SIGHUP: throttlerd run -c " + file},
		{v.older, "warn", "of another version of the file", "SIGHUP to the workers, or a restart, applies this one"},
		{v.overridden, "warn", "overridden by hand", "throttlectl queue update or limit set takes it back to what the file says"},
		{v.left, "warn", "in the file no more", "at the next start or SIGHUP it is held; throttlectl queue remove lets it go after that"},
	} {
		if len(k.list) > 0 {
			out = append(out, wrong(k.status, k.right, "%s: %s", k.found, some(k.list))...)
		}
	}
	return out
}
