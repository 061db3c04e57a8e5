package model

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	"github.com/throttlerd/throttlerd/ratelimit"
)

const (
	ms     = int64(1000)
	second = 1000 * ms
	minute = 60 * second
	hour   = 60 * minute
	epoch0 = int64(1_790_000_000_000_000)
)

// sim is a worker on a clock of its own: it claims whenever that is worth while, runs
// what is granted, and settles it.
type sim struct {
	*World
	t       fataler
	now     int64
	ahead   int64
	slots   int                          // free ones
	lasts   func(Start) int64            // how long a task runs
	outcome func(Start) Outcome          // how it ends
	late    func() int64                 // how late a claim comes
	started func(Start)                  // called at each grant
	events  []event                      // to come, by instant
	starts  []Start                      // in the order of their grants
	grants  map[*Limit][]ratelimit.Grant // of each limit
	due     int64                        // instant of the next claim
}

type event struct {
	at int64
	do func()
}

// fataler is a *testing.T or a *rapid.T.
type fataler interface {
	Helper()
	Fatalf(string, ...any)
}

func newSim(t fataler) *sim {
	return &sim{
		World: &World{}, t: t, now: epoch0, ahead: 50 * ms, slots: 64,
		lasts:   func(Start) int64 { return ms },
		outcome: func(Start) Outcome { return Outcome{} },
		late:    func() int64 { return 0 },
		started: func(Start) {},
		grants:  map[*Limit][]ratelimit.Grant{},
		due:     epoch0,
	}
}

// rates parses rates as people write them.
func rates(text string) ratelimit.Rates {
	rs, err := ratelimit.ParseRates(text)
	if err != nil {
		panic(err)
	}
	return rs
}

func (s *sim) limit(name, rate string, places int) *Limit {
	return s.SetLimit(s.now, name, Spec{Rates: rates(rate), Cap: places}, 0)
}

func (s *sim) queue(name string, limits ...string) *Queue {
	return s.SetQueue(s.now, name, QueueSpec{Limits: limits}, 0)
}

// at has something done at an instant.
func (s *sim) at(t int64, do func()) {
	i, _ := slices.BinarySearchFunc(s.events, t, func(e event, t int64) int { return cmp.Or(cmp.Compare(e.at, t), -1) })
	s.events = slices.Insert(s.events, i, event{t, do})
}

// submit adds n tasks.
func (s *sim) submit(n int, queue string, t Task) {
	for range n {
		s.Submit(s.now, queue, t)
	}
	s.due = s.now
}

// backlog keeps n tasks waiting for ever: each that starts is followed by another one.
func (s *sim) backlog(n int, queue string, t Task) {
	s.submit(n, queue, t)
	before := s.started
	s.started = func(st Start) {
		before(st)
		if st.Queue == queue && st.Key == t.Key {
			s.submit(1, queue, t)
		}
	}
}

// run goes on for a while.
func (s *sim) run(d int64) {
	s.t.Helper()
	end := s.now + d
	for {
		next := int64(ratelimit.Never)
		if s.slots > 0 {
			if at := s.Next(s.now); at < ratelimit.Never {
				s.due = min(s.due, at+s.late())
			}
			next = s.due
		}
		if len(s.events) > 0 {
			next = min(next, max(s.now, s.events[0].at))
		}
		if next > end {
			s.now = end
			return
		}
		s.now = next
		for len(s.events) > 0 && s.events[0].at <= s.now {
			do := s.events[0].do
			s.events = s.events[1:]
			do()
		}
		if s.slots > 0 {
			s.claim()
		}
	}
}

// claim claims once, and checks what any claim must keep to.
func (s *sim) claim() {
	s.t.Helper()
	s.due = ratelimit.Never
	moves := s.Moves
	starts := s.Claim(s.now, s.ahead, s.slots)
	if len(starts) < s.slots {
		s.nobodyForgotten()
	}
	for _, st := range starts {
		if st.At < s.now || st.At > s.now+s.ahead {
			s.t.Fatalf("%+v: granted at %d", st, s.now)
		}
		s.slots--
		s.starts = append(s.starts, st)
		for _, c := range s.running[st.Task].charges {
			s.grants[c.limit] = append(s.grants[c.limit], ratelimit.Grant{At: st.At, Cost: c.cost})
		}
		s.at(st.At+s.lasts(st), func() {
			s.slots++
			s.Settle(s.now, st.Task, s.outcome(st))
		})
		s.started(st)
	}
	if most := mostMoves * len(s.Limits); s.Moves-moves > most {
		s.t.Fatalf("%d moves in one claim between %d limits", s.Moves-moves, len(s.Limits))
	}
	for l := range s.grants {
		if l.Cap > 0 && l.Running > l.Cap {
			s.t.Fatalf("limit %q: %d places held of %d", l.Name, l.Running, l.Cap)
		}
	}
}

// nobodyForgotten fails if somebody could have been served: a queue whose whole set has
// room, while nobody with an older turn needs a limit of it.
func (s *sim) nobodyForgotten() {
	s.t.Helper()
	for _, q := range s.Queues {
		if q.head.Task == nil || q.head.ready > s.now || s.together(q) > s.now {
			continue
		}
		contended := slices.ContainsFunc(s.Queues, func(o *Queue) bool {
			return o != q && o.before(q) && o.waits(s.now) && slices.ContainsFunc(s.Limits, func(l *Limit) bool {
				return q.needs(l) > 0 && o.needs(l) > 0
			})
		})
		asked := slices.ContainsFunc(s.Limits, func(l *Limit) bool { return q.needs(l) > 0 && l.ask.until > s.now })
		if !contended && !asked {
			s.t.Fatalf("queue %q was not served at %d, though its turn is first and its set has room", q.Name, s.now-epoch0)
		}
	}
}

// bounds fails if a limit granted more than a rate allows in some window, or counted it
// wrong.
func (s *sim) bounds() {
	s.t.Helper()
	for l, grants := range s.grants {
		spent := int64(0)
		for _, g := range grants {
			spent += g.Cost
		}
		if spent != l.Spent {
			s.t.Fatalf("limit %q: %d tokens spent for starts that cost %d", l.Name, l.Spent, spent)
		}
		for _, r := range l.Rates {
			if err := ratelimit.Check(r, grants); err != nil {
				s.t.Fatalf("limit %q, rate %v: %v", l.Name, r, err)
			}
		}
	}
}

// count returns how many starts the queues whose names begin so had from an instant on.
func (s *sim) count(prefix string, from int64) (n int) {
	for _, st := range s.starts {
		if st.At >= from && len(st.Queue) >= len(prefix) && st.Queue[:len(prefix)] == prefix {
			n++
		}
	}
	return n
}

// used returns the part of what the first rate of a limit gives that was taken from an
// instant on.
func (s *sim) used(name string, from int64) float64 {
	l := s.Limit(name)
	taken := int64(0)
	for _, g := range s.grants[l] {
		if g.At >= from && g.At < s.now {
			taken += g.Cost
		}
	}
	r := l.Rates[0]
	return float64(taken) / (float64(s.now-from) * float64(r.N) / float64(r.Period.Microseconds()))
}

// queues makes n queues with a backlog each, named prefix and a number.
func (s *sim) queues(n int, prefix string, t Task, limits ...string) {
	for i := range n {
		name := fmt.Sprintf("%s%04d", prefix, i)
		s.queue(name, limits...)
		s.submit(2, name, t)
	}
	before := s.started
	s.started = func(st Start) {
		before(st)
		if st.Queue[:len(prefix)] == prefix {
			s.submit(1, st.Queue, t)
		}
	}
}

var _ fataler = (*testing.T)(nil)
