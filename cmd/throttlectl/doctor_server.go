package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/throttlerd/throttlerd/runtime/config"
	"github.com/throttlerd/throttlerd/scheduler"
)

// Above these the doctor warns.
const (
	slowCall  = 20 * time.Millisecond // of the 50 that tokens are reserved ahead
	clockDiff = time.Second
	fullPart  = 0.9 // of maxmemory
)

func wrong(status, right, format string, args ...any) []finding {
	return []finding{{Status: status, Found: fmt.Sprintf(format, args...), Right: optional(right)}}
}

// server checks what Redis is, and how it is seen from here. It returns the time by which
// the rest is judged; false where scripts, which read it, are refused.
func (d *doctor) server() (now time.Time, ok bool) {
	where := d.cfg.Redis.Where()
	clock, err := d.s.Clock(d.s.ctx)
	if err != nil {
		d.ok("redis", "%s answers", where)
		d.blind(err, "TIME", "clock")
	} else {
		d.all("redis", slow(where, clock), "%s answers in %s", where, span(clock.Latency))
		d.all("clock", clockApart(clock), "this machine's and that of Redis are %s apart", span(clock.Ahead.Abs()))
	}
	servers, err := d.s.Servers(d.s.ctx)
	d.settings(servers, err)
	if now, err = d.s.Now(d.s.ctx); err != nil {
		d.add("fail", "scripts", "Redis does not run them: "+err.Error(), "grant EVAL, EVALSHA and what they call, on the keys of the namespace: the README has the line")
		return now, false
	}
	d.ok("scripts", "may be run")
	return now, true
}

func slow(where string, c scheduler.Clock) []finding {
	if c.Latency <= slowCall {
		return nil
	}
	return wrong("warn", "keep workers near Redis: each claim is a call, and tokens are reserved 50ms ahead", "%s answers in %s", where, span(c.Latency))
}

func clockApart(c scheduler.Clock) []finding {
	if c.Ahead.Abs() <= clockDiff {
		return nil
	}
	word := map[bool]string{true: "behind", false: "ahead of"}[c.Ahead > 0]
	return wrong("warn", "let both be set by NTP; limits are exact all the same, times that are shown here are off by as much",
		"this machine's is %s %s that of Redis", span(c.Ahead.Abs()), word)
}

// settings checks each server that tells what it is, and names those that do not.
func (d *doctor) settings(all []scheduler.Server, err error) {
	var servers []scheduler.Server
	for _, s := range all {
		var away *scheduler.UnreachableError
		switch {
		case s.Silent == nil:
			servers = append(servers, s)
		case errors.As(s.Silent, &away):
			d.add("fail", "redis", s.Addr+" does not answer: "+cause(s.Silent), "start it again, or have a replica of it take over: CLUSTER NODES shows them")
		case s.Addr != "":
			err = fmt.Errorf("%s: %w", s.Addr, s.Silent)
		default:
			err = s.Silent
		}
	}
	if err != nil {
		d.blind(err, "INFO", "version", "role", "appendonly", "maxmemory-policy")
	}
	if len(servers) == 0 {
		return
	}
	strict := d.cfg.Durability == config.DurabilityStrict
	for _, check := range []struct {
		name string
		f    func(s scheduler.Server) []finding
		good string
	}{
		{"version", versionOf, servers[0].Version},
		{"role", roleOf, "master"},
		{"appendonly", func(s scheduler.Server) []finding { return appendOnly(s, strict) }, "yes"},
		{"maxmemory-policy", eviction, memoryWords(servers[0])},
	} {
		var all []finding
		for _, s := range servers {
			for _, f := range check.f(s) {
				if s.Addr != "" {
					f.Found = s.Addr + ": " + f.Found
				}
				all = append(all, f)
			}
		}
		d.all(check.name, all, "%s", check.good)
	}
}

const untold = "Redis does not tell"

func versionOf(s scheduler.Server) []finding {
	var major, minor int
	if n, _ := fmt.Sscanf(s.Version, "%d.%d", &major, &minor); n < 2 {
		return wrong("warn", "6.2 or newer is needed", untold)
	}
	if major < 6 || major == 6 && minor < 2 {
		return wrong("fail", "6.2 or newer is needed", "%s", s.Version)
	}
	return nil
}

func roleOf(s scheduler.Server) []finding {
	switch s.Role {
	case "master":
		return nil
	case "":
		return wrong("warn", "a master is needed", untold)
	}
	return wrong("fail", "name the master, or sentinels that know it", "a replica: it takes no writes")
}

func appendOnly(s scheduler.Server, strict bool) []finding {
	switch s.AppendOnly {
	case "1":
		return nil
	case "":
		return wrong("warn", "appendonly yes keeps tasks over a crash", untold)
	}
	if strict {
		return wrong("fail", `set appendonly yes: durability = "strict" demands it`, "no: a crash of Redis loses acknowledged tasks")
	}
	return wrong("warn", "set appendonly yes", "no: a crash of Redis loses acknowledged tasks")
}

func eviction(s scheduler.Server) []finding {
	const right = "set maxmemory-policy noeviction"
	switch {
	case s.Policy == "":
		return wrong("warn", "noeviction keeps tasks", untold)
	case s.Policy != "noeviction" && s.MaxMemory > 0:
		return wrong("fail", right, "%s: Redis evicts tasks when it has used %s", s.Policy, memoryText(&s.MaxMemory))
	case s.Policy != "noeviction":
		return wrong("warn", right, "%s: Redis would evict tasks, once a maxmemory is set", s.Policy)
	case s.MaxMemory > 0 && float64(s.Memory) > fullPart*float64(s.MaxMemory):
		return wrong("warn", "raise maxmemory, or lower history: a full Redis refuses tasks", "%s", memoryWords(s))
	}
	return nil
}

func memoryWords(s scheduler.Server) string {
	if s.MaxMemory == 0 {
		return s.Policy + ", no maxmemory"
	}
	return fmt.Sprintf("%s, %s of %s used", s.Policy, memoryText(&s.Memory), memoryText(&s.MaxMemory))
}
