package scheduler

import (
	"fmt"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
)

// standing is how one limit of a queue stands, as standing.lua tells it.
type standing struct {
	name         string // "queue", "key", or that of a named limit
	b            ratelimit.Buckets
	running, cap int64
	kept         int64 // tokens that are not there for others
}

// standings are those of a queue and the limits that it names.
type standings struct {
	held string
	list []standing
}

func readStandings(v any) standings {
	parts, _ := v.([]any)
	if len(parts) == 0 {
		return standings{}
	}
	s := standings{held: parts[0].(string)}
	for _, p := range parts[1:] {
		f := p.([]any)
		s.list = append(s.list, standing{
			name:    f[0].(string),
			b:       ratelimit.ReadBuckets(f[1].(string), f[2].(string), f[3].(string), f[4].(string)),
			running: f[5].(int64), cap: f[6].(int64), kept: f[7].(int64),
		})
	}
	return s
}

// plainStanding is that of a queue under nothing but limits of its own, as submit_plain.lua
// tells it: held, rate, bucket, frozen, running, cap; nothing where nothing holds it.
func plainStanding(f []any) standings {
	if len(f) == 0 {
		return standings{}
	}
	own := standing{
		name: ofQueue, b: ratelimit.ReadBuckets(f[1].(string), f[2].(string), "", f[3].(string)), running: f[4].(int64), cap: f[5].(int64),
	}
	return standings{held: f[0].(string), list: []standing{own}}
}

// earliest is the instant at which the limit lets a task of cost c start, when tasks that
// cost before are ahead of it: exact up to the burst, an estimate for people beyond.
func (s *standing) earliest(now, before, c int64) int64 {
	at := max(now, s.b.Frozen)
	if c == 0 {
		return at
	}
	total := before + c + s.kept
	least := s.b.Rates.Capacity()
	if least == 0 || total <= least {
		return max(at, s.b.At(total))
	}
	at = max(at, s.b.At(least))
	if c > least || at == ratelimit.Never {
		return max(at, s.b.At(c))
	}
	for _, r := range s.b.Rates {
		extra := float64(total-least) * float64(r.Period.Microseconds()) / float64(r.N)
		at = max(at, max(now, s.b.Frozen, s.b.At(least))+int64(extra))
	}
	return at
}

// bind finds the limit that holds a task up longest, when before tasks like it are ahead
// in its queue or key, and the earliest instant by all of them; nil and now when it can
// start at once. A full cap, whose end nobody knows, counts before any instant; one that
// those before it fill only where nothing else holds it up.
func (s *standings) bind(now, before, all int64, costs map[string]int64, key string) (int64, *Binding) {
	start, binding := now, (*Binding)(nil)
	for i := range s.list {
		l := &s.list[i]
		c := costOf(l.name, all, costs)
		b := Binding{Limit: limitWords(l.name, key), Need: c, Why: "rate"}
		at := l.earliest(now, before*c, c)
		if c > 0 && l.full(0) && at != ratelimit.Never {
			start = max(start, at)
			if binding == nil || binding.Why != "never" {
				binding = &Binding{Limit: b.Limit, Why: "concurrency", Need: 1}
			}
			continue
		}
		if at <= start {
			continue
		}
		start = at
		if len(l.b.Rates) > 0 {
			b.Have = max(0, l.b.Left(now))
		}
		switch {
		case at == ratelimit.Never:
			b.Why = "never"
		case l.b.Frozen >= at:
			b.Why = "frozen"
		}
		if at != ratelimit.Never {
			b.Next = time.UnixMicro(at).UTC()
		}
		if binding == nil || binding.Why != "concurrency" || b.Why == "never" {
			binding = &b
		}
	}
	for i := range s.list {
		l := &s.list[i]
		if binding == nil && costOf(l.name, all, costs) > 0 && l.full(before) {
			binding = &Binding{Limit: limitWords(l.name, key), Why: "turn", Need: 1, Have: l.cap - l.running}
		}
	}
	return start, binding
}

// full reports whether its cap has no place for one that has before others ahead of it.
func (s *standing) full(before int64) bool { return s.cap > 0 && s.running+before >= s.cap }

// position is how many tokens have to come before those of a task, at the limit where
// that is most: 0 when they are there now.
func (s *standings) position(now, before, all int64, costs map[string]int64) int64 {
	most := int64(0)
	for i := range s.list {
		l := &s.list[i]
		if c := costOf(l.name, all, costs); c > 0 && len(l.b.Rates) > 0 {
			most = max(most, before*c+c-l.b.Left(now))
		}
	}
	return most
}

// room tells whether the tokens of a task are there now, behind so many tasks of its key and
// of its queue. In which order keys are served does not change how many find theirs.
func (s *standings) room(now, inKey, inQueue, all int64, costs map[string]int64) bool {
	for i := range s.list {
		l, before := &s.list[i], inQueue
		if l.name == ofKey {
			before = inKey
		}
		if c := costOf(l.name, all, costs); c > 0 && len(l.b.Rates) > 0 && before*c+c > l.b.Left(now) {
			return false
		}
	}
	return true
}

// limitWords names a limit for people.
func limitWords(name, key string) string {
	switch name {
	case ofQueue:
		return ofQueue
	case ofKey:
		return fmt.Sprintf("key %q", key)
	}
	return fmt.Sprintf("limit %q", name)
}

// fill tells how the limit stands.
func (s *standing) fill(b *Bucket, now int64) {
	b.Running = s.running
	if f := s.b.Frozen; f > now {
		b.FrozenUntil = time.UnixMicro(f).UTC()
	}
	if s.b.Until > 0 {
		b.Override = &Override{Until: time.UnixMicro(s.b.Until).UTC(), Base: s.b.Base}
	}
	if len(s.b.Rates) == 0 {
		return
	}
	b.Tokens = max(0, s.b.Tokens(now))
	b.Capacity = s.b.Rates.Capacity()
	next := min(max(0, s.b.Left(now))+1, b.Capacity)
	b.NextToken = time.UnixMicro(max(now, s.b.At(next))).UTC()
}
