package model

import "github.com/throttlerd/throttlerd/ratelimit"

// ask is what a Take, by a program outside of the queues, waits for.
type ask struct {
	cost  int64
	turn  int64 // of the Take before
	at    int64 // the instant that the program was told
	until int64 // how long its tokens are left to it
}

// Take takes n tokens of a named limit for a call outside of the queues. Where queues
// wait, all Takes together have one turn, like a queue. One that is not granted is told
// the instant worth asking again; until shortly after it, those whose turn is newer leave
// its tokens to it. While no slot is free, no queue is in the turn. Never is for n above
// the capacity.
func (w *World) Take(now int64, name string, n int64) (granted bool, at int64) {
	w.bring(now)
	w.look()
	l := w.Limit(name)
	if l.possible(n) == ratelimit.Never {
		return false, ratelimit.Never
	}
	l.ask = ask{}
	at = max(now, l.At(n))
	if f := l.first; f != nil && w.idle && len(l.Rates) > 0 {
		self := &Queue{turn: l.taken}
		at = w.room(l, self, n)
		if at == ratelimit.Never { // kept for others
			at = now + l.pace(n)
		}
		if f.before(self) {
			at += l.pace(f.needs(l))
		}
	}
	if at <= now {
		l.take(now, n)
		l.taken = w.turn()
		return true, now
	}
	l.ask = ask{cost: n, turn: l.taken, at: at, until: at + patience}
	return false, at
}
