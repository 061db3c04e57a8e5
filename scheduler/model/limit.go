package model

import "github.com/throttlerd/throttlerd/ratelimit"

// Spec is what can be set of any limit.
type Spec struct {
	Rates   ratelimit.Rates
	Cap     int // most tasks at once; 0 is no cap
	DebtMax int64
}

// Limit bounds starts: a queue's own, a named one or a key's.
type Limit struct {
	Name string // "queue" and "key" of those that have no name
	ratelimit.Buckets
	Cap     int
	Running int // places held; counted without a cap too
	DebtMax int64

	Spent    int64 // tokens granted
	Credited int64 // of those, given back
	Owed     int64 // tokens that a call cost beyond its grant
	Cut      int64 // of those, not taken: beyond DebtMax

	ahead   int64  // the latest start
	credits bool   // a task cost less than it was granted, once
	first   *Queue // of those that wait at it, the one whose turn it is
	taken   int64  // turn of the last Take
	ask     ask    // what a Take waits for
}

func newLimit(name string, s Spec) *Limit {
	return &Limit{Name: name, Buckets: ratelimit.NewBuckets(s.Rates)}
}

// named reports whether it is neither a queue's own nor a key's.
func (l *Limit) named() bool { return l.Name != "queue" && l.Name != "key" }

func (l *Limit) set(s Spec, until, now int64) {
	if until > 0 {
		l.Override(s.Rates, until, now)
	} else {
		l.Set(s.Rates, now)
	}
	l.Cap, l.DebtMax = s.Cap, s.DebtMax
}

// full reports whether all places are held, where some are kept.
func (l *Limit) full(kept int) bool { return l.Cap > 0 && l.Running+kept >= l.Cap }

// possible is the instant from which a cost is within the capacities in force: 0, the end
// of an override, or never.
func (l *Limit) possible(c int64) int64 {
	switch {
	case len(l.Rates) == 0 || c <= l.Rates.Capacity():
		return 0
	case l.Until > 0:
		return l.Until
	}
	return ratelimit.Never
}

// pace is how long c tokens take to come again.
func (l *Limit) pace(c int64) int64 {
	longest := int64(0)
	for _, r := range l.Rates {
		p := r.Period.Microseconds()
		longest = max(longest, c*(p/r.N)+c*(p%r.N)/r.N)
	}
	return longest
}

// wouldWaste reports whether a bucket is full before t, so that it would stop to accrue
// for others if tokens were taken at t.
func (l *Limit) wouldWaste(t int64) bool {
	for i, r := range l.Rates {
		if l.Each[i].At(r, r.Burst) < t {
			return true
		}
	}
	return false
}

// take debits what a start costs.
func (l *Limit) take(at, c int64) {
	l.Debit(at, c)
	l.Spent += c
	l.ahead = max(l.ahead, at)
}
