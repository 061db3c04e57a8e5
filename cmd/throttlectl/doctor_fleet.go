package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/runtime/config"
	"github.com/throttlerd/throttlerd/scheduler"
)

// fleet checks workers, queues and limits, and what waits for nobody.
func (d *doctor) fleet(now time.Time) {
	queues, moreQueues, qerr := d.s.QueuesUpTo(d.s.ctx, mostQueues)
	workers, werr := d.s.Workers(d.s.ctx)
	limits, moreLimits, lerr := d.s.LimitsUpTo(d.s.ctx, mostLimits)
	snap := newSnapshot(queues, workers, now)
	if d.file != "" {
		d.declared(queues)
	}
	if werr != nil {
		d.blind(werr, "ZRANGE and HGETALL", "workers", "config-hash", "handlers")
	} else {
		d.workers(&snap)
		d.hints("handlers", snap.hintDown(), "all handlers of live workers are up")
	}
	switch {
	case qerr != nil:
		d.blind(qerr, "ZRANGEBYLEX", "served", "held", "never", "dead")
	case werr != nil:
		d.blind(werr, "ZRANGE and HGETALL", "served")
	default:
		d.hints("served", snap.hintUnserved(), "no task waits for a worker that is not there")
	}
	if qerr == nil {
		d.hints("held", snap.hintHeld(), "nothing waits in a held queue")
		d.hints("never", snap.hintNever(), "no next task costs more than its limits can hold")
		d.hints("dead", snap.hintDead(), "no dead tasks")
	}
	if lerr != nil {
		d.blind(lerr, "ZRANGEBYLEX", "frozen", "limits")
	} else {
		d.all("frozen", append(frozenLimits(limits), findingsOf(snap.hintFrozen())...), "no limit and no queue is frozen")
		d.limits(queues, limits, moreLimits)
	}
	d.partial(moreQueues, mostQueues, "queue")
	d.partial(moreLimits, mostLimits, "limit")
}

// partial says that not all were looked at.
func (d *doctor) partial(more bool, most int64, noun string) {
	if more {
		d.add("warn", "partial", fmt.Sprintf("only the first %s by name were looked at", plural(most, noun)), "throttlectl "+noun+" list has them all")
	}
}

func (d *doctor) limits(queues []scheduler.Queue, limits []scheduler.Limit, more bool) {
	missing, err := d.unknownLimits(queues, limits, more)
	if err != nil {
		d.blind(err, "ZRANGEBYLEX", "limits")
		return
	}
	d.all("limits", append(missing, undeclaredLimits(limits)...), "each that a queue names is there")
}

func findingsOf(hints []hint) (out []finding) {
	for _, h := range hints {
		status := map[bool]string{true: "fail", false: "warn"}[h.grave]
		out = append(out, finding{Status: status, Found: h.found, Right: optional(h.right)})
	}
	return out
}

func (d *doctor) hints(check string, hints []hint, good string) {
	d.all(check, findingsOf(hints), "%s", good)
}

// workers checks who is there, and whether those that share a handler run one configuration.
func (d *doctor) workers(snap *snapshot) {
	alive := live(snap.workers, snap.at)
	var draining []string
	for _, w := range alive {
		if w.Draining {
			draining = append(draining, w.ID)
		}
	}
	all := findingsOf(snap.hintLost())
	if len(alive) == len(draining) {
		all = append(all, wrong("warn", "start one: throttlerd run", "none takes tasks in namespace %q", d.s.Namespace())...)
	}
	words := plural(int64(len(alive)), "live worker")
	if len(draining) > 0 {
		words += ", of them draining: " + some(draining)
	}
	d.all("workers", all, "%s", words)
	d.all("config-hash", hashes(alive), "workers that share a handler have one configuration")
}

// hashes are the handlers that workers with different configurations share.
func hashes(alive []scheduler.Worker) (out []finding) {
	by := map[string]map[string][]string{} // handler, hash, workers
	for _, w := range alive {
		for h := range w.Slots {
			if by[h] == nil {
				by[h] = map[string][]string{}
			}
			by[h][w.ConfigHash] = append(by[h][w.ConfigHash], w.ID)
		}
	}
	for _, w := range alive {
		if strings.HasSuffix(w.ConfigHash, config.OldPlugins) {
			out = append(out, wrong("warn", "its log, and handler list, say what the plugin refuses; a restart of the worker would fail by it",
				"worker %q runs a plugin with an earlier configuration: the plugin refused the one of its file", w.ID)...)
		}
	}
	said := map[string]bool{}
	for _, h := range slices.Sorted(maps.Keys(by)) {
		if len(by[h]) < 2 {
			continue
		}
		var groups []string
		for _, hash := range slices.Sorted(maps.Keys(by[h])) {
			groups = append(groups, fmt.Sprintf("%s on %s", hash, some(by[h][hash])))
		}
		if text := strings.Join(groups, ", "); !said[text] { // once for all handlers of the same workers
			said[text] = true
			out = append(out, wrong("warn", "SIGHUP has a worker read its file again; what else differs needs a restart", "workers of handler %q differ: %s", h, text)...)
		}
	}
	return out
}

func frozenLimits(limits []scheduler.Limit) (out []finding) {
	for _, l := range limits {
		if !l.FrozenUntil.IsZero() {
			out = append(out, wrong("warn", "throttlectl limit reset "+l.Name+" ends it now", "limit %q, for %s, with %s at it: an upstream said slow down",
				l.Name, span(l.FrozenUntil.Sub(l.At)), plural(l.Waiting, "waiting queue"))...)
		}
	}
	return out
}

// unknownLimits are those that queues name and that are not there.
func (d *doctor) unknownLimits(queues []scheduler.Queue, limits []scheduler.Limit, more bool) (out []finding, err error) {
	by := map[string]*crowd{}
	for _, q := range queues {
		for _, name := range q.Limits {
			if by[name] == nil {
				by[name] = &crowd{}
			}
			by[name].names = append(by[name].names, q.Name)
		}
	}
	names := slices.Sorted(maps.Keys(by))
	known := limits
	if more {
		if known, err = d.s.LimitsByName(d.s.ctx, names...); err != nil {
			return nil, err
		}
	}
	var there []string
	for _, l := range known {
		there = append(there, l.Name)
		delete(by, l.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(by)) {
		right := fmt.Sprintf("throttlectl limit set %s --rate RATE makes it", name)
		if near := ratelimit.Nearest(name, there); near != "" {
			right += fmt.Sprintf("; or did they mean %q?", near)
		}
		out = append(out, wrong("fail", right, "no limit %q, and nothing starts of what names it: %s", name, by[name])...)
	}
	return out, nil
}

// undeclaredLimits are those that have left the file that declared them, and are in force.
func undeclaredLimits(limits []scheduler.Limit) (out []finding) {
	for _, l := range limits {
		switch {
		case l.Damaged:
			out = append(out, wrong("fail", "throttlectl limit set "+l.Name+" --rate RATE", "the rate of limit %q cannot be read: nothing starts under it", l.Name)...)
		case l.Undeclared:
			out = append(out, wrong("warn", "declare it again, or: throttlectl limit remove "+l.Name, "limit %q is in force, but the file of owner %q declares it no more", l.Name, l.Owner)...)
		}
	}
	return out
}
