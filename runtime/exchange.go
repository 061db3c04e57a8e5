package runtime

import (
	"context"
	"errors"
	"fmt"
	goruntime "runtime"
	"slices"
	"time"

	"github.com/throttlerd/throttlerd/scheduler"
)

const (
	// early: how long before the next instant worth asking this worker asks, so
	// that the reply is here in time; within the look-ahead.
	early = 15 * time.Millisecond
	// soonest: two claims that are not called for by free slots or a signal keep
	// this distance.
	soonest = 500 * time.Microsecond
	// maxSettle and maxSettleBytes bound one settle.
	maxSettle      = 100
	maxSettleBytes = 1 << 20
	// callTimeout bounds one round trip.
	callTimeout = 5 * time.Second
	// turnLasts: a queue may take as many tasks in its turn as end in this time at the
	// pace of late, so that the turns of others come soon where tasks are slow and a
	// claim need not look at many queues where they are fast.
	turnLasts = 400 * time.Microsecond
	// paceOver is the time that the pace of late is taken over, tripOver the exchanges.
	paceOver = 100 * time.Millisecond
	tripOver = 8
)

// exchange settles outcomes and claims tasks, one round trip at a time, until ctx
// ends or the lease is lost. Outcomes that finish while one is under way go out
// together in the next.
func (w *Worker) exchange(ctx context.Context, ses *scheduler.Session, lost <-chan struct{}) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var unsent []scheduler.Outcome // settled by no reply yet
	var pending *scheduler.Claim   // answered by no reply yet
	var pendingIndexes []*index
	pause := time.Duration(0)
	turn := 0
	var giveUp time.Time // set once ctx has ended
	told := make(map[scheduler.QueueLimit]bool)
	for {
		ended := ctx.Err() != nil // before the look: what came since is seen by it
		w.takeHanded(ses, ended)
		outcomes, claim, indexes, wait := w.due(turn, unsent, pending, pendingIndexes)
		if len(outcomes) == 0 && claim == nil {
			if ended {
				return nil
			}
			timer.Reset(wait)
			select {
			case <-ctx.Done():
			case <-lost:
				return scheduler.ErrLeaseLost
			case <-w.kick:
			case <-timer.C:
			}
			continue
		}
		turn++
		began := time.Now()
		call, cancel := context.WithTimeout(context.Background(), callTimeout)
		granted, settled, settleErr, claimErr := ses.Exchange(call, outcomes, claim)
		cancel()
		if settled.Stale > 0 {
			w.log.Warn("outcomes not settled: their fence is not in force", "count", settled.Stale)
		}
		w.tellNotUnder(told, settled.NotUnder)
		if errors.Is(claimErr, scheduler.ErrLeaseLost) {
			return scheduler.ErrLeaseLost
		}
		w.took(time.Since(began))
		unsent, pending, pendingIndexes = nil, nil, nil
		if settleErr != nil {
			unsent = outcomes
		}
		if claimErr != nil {
			if w.keepAsking() {
				pending, pendingIndexes = claim, indexes
			}
		} else if claim != nil {
			if granted.Again {
				w.keepUnknown(granted, outcomes)
			}
			w.take(ses, granted, indexes)
		}
		if settleErr == nil && claimErr == nil {
			if pause > 0 {
				w.log.Info("redis answers again")
			}
			pause = 0
			continue
		}
		if pause == 0 {
			w.log.Error("redis call failed; asking again until it is settled", "error", errors.Join(settleErr, claimErr))
		}
		pause = min(max(2*pause, 50*time.Millisecond), 500*time.Millisecond)
		select {
		case <-lost:
			return scheduler.ErrLeaseLost
		case <-time.After(pause):
		}
		if ctx.Err() != nil && giveUp.IsZero() {
			giveUp = time.Now().Add(2 * callTimeout)
		}
		if !giveUp.IsZero() && time.Now().After(giveUp) {
			return fmt.Errorf("outcomes of %d tasks are not settled: %w", len(unsent), errors.Join(settleErr, claimErr))
		}
	}
}

// maxNotUnder bounds what is said of limits that a handler may make up.
const maxNotUnder = 100

// tellNotUnder says once of a queue and a limit that what a handler tells of it is in vain.
func (w *Worker) tellNotUnder(told map[scheduler.QueueLimit]bool, list []scheduler.QueueLimit) {
	for _, x := range list {
		if told[x] || len(told) == maxNotUnder {
			continue
		}
		told[x] = true
		w.log.Warn("a handler tells of a limit that its task was not charged: it is passed over, and a throttle freezes the queue",
			"queue", x.Queue, "limit", x.Limit)
	}
}

// due returns what to settle and to claim now, or how long to wait. What an earlier
// call has not got answered goes again, first and unchanged.
func (w *Worker) due(turn int, unsent []scheduler.Outcome, pending *scheduler.Claim, pendingIndexes []*index) ([]scheduler.Outcome, *scheduler.Claim, []*index, time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	outcomes := unsent
	if len(outcomes) == 0 {
		outcomes = w.someOutcomes()
	}
	if pending != nil && !w.closing {
		return outcomes, pending, pendingIndexes, 0
	}
	wait := time.Hour
	if w.behind { // also without a slot, or when it claims no more
		w.behind, w.claiming = false, true
		return outcomes, &scheduler.Claim{}, nil, 0
	}
	if w.closing {
		w.claiming = false
		w.checkQuiet()
		return outcomes, nil, nil, wait
	}
	now := time.Now()
	var claim *scheduler.Claim
	var indexes []*index
	for i := range w.indexes {
		ix := w.indexes[(i+turn)%len(w.indexes)]
		free := max(0, min(ix.h.slots-ix.h.busy, w.free))
		ahead := 0
		if ix.more && !w.waits(ix, now) {
			ahead = w.wantAhead(ix.h, free, now)
		}
		if free+ahead <= 0 || !ix.h.isUp() || ahead > 0 && claim != nil {
			continue
		}
		if !ix.want {
			if ix.at.IsZero() {
				continue
			}
			if d := ix.at.Sub(now); d > 0 {
				wait = min(wait, d)
				continue
			}
		}
		if claim == nil {
			claim = &scheduler.Claim{Lookahead: w.o.Lookahead, Most: w.free, Part: w.part(now), Ahead: ahead}
		}
		claim.Slots = append(claim.Slots, scheduler.Slots{Index: ix.name, Free: free})
		indexes = append(indexes, ix)
		ix.want, ix.at = false, time.Time{}
		if ahead > 0 {
			break // it is asked alone; the others have the next exchange
		}
	}
	w.claiming = claim != nil
	return outcomes, claim, indexes, wait
}

// keepAsking tells whether a claim that got no answer is to be asked again. A worker
// that drains does not: what such a claim has leased goes back when it leaves, or is given by
// the one that asks for what was handed over.
func (w *Worker) keepAsking() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closing {
		w.claiming = false
		w.checkQuiet()
	}
	return !w.closing
}

// someOutcomes takes what one settle may carry. Under w.mu.
func (w *Worker) someOutcomes() []scheduler.Outcome {
	n, size := 0, 0
	for n < len(w.outcomes) && n < maxSettle && (n == 0 || size < maxSettleBytes) {
		size += len(w.outcomes[n].Text)
		n++
	}
	out := w.outcomes[:n:n]
	w.outcomes = w.outcomes[n:]
	if len(w.outcomes) > 0 {
		w.signal()
	} else if n > 0 {
		w.outcomes = make([]scheduler.Outcome, 0, n) // about as many will follow
	}
	return out
}

// take books the grants, starts what may start, and notes when to ask again.
func (w *Worker) take(ses *scheduler.Session, g *scheduler.Granted, indexes []*index) {
	w.mu.Lock()
	now := w.book(ses, g)
	for i, ix := range indexes {
		next := g.Indexes[i]
		ix.want, ix.more = ix.want || !next.Idle, next.More
		if next.In > 0 && next.Mine {
			ix.at = g.Received.Add(max(next.In-min(early, w.o.Lookahead/2, next.In/2), soonest))
		}
	}
	w.claiming = false
	w.checkQuiet()
	w.mu.Unlock()
	if len(now) > 0 {
		w.dispatch(now)
	}
}

// keepUnknown leaves of leases that are given again those that this worker does not have:
// neither running nor ended, also not by the outcomes that went with the claim.
func (w *Worker) keepUnknown(g *scheduler.Granted, sent []scheduler.Outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	has := make(map[int64]bool)
	for _, list := range [][]scheduler.Outcome{w.outcomes, sent} {
		for i := range list {
			has[list[i].Fence] = true
		}
	}
	g.Grants = slices.DeleteFunc(g.Grants, func(x scheduler.Grant) bool { return has[x.Fence] || w.runs[x.Fence] != nil })
}

// takeHanded starts what submits have leased to this worker, and has it claim again, so that
// it waits for more. When a drain is over nothing starts: it goes back with the lease.
func (w *Worker) takeHanded(ses *scheduler.Session, over bool) {
	w.mu.Lock()
	handed := w.handed
	w.handed = nil
	if over {
		handed, w.behind = nil, false
	}
	var now []*run
	for _, task := range handed {
		g := ses.Take(task)
		if g == nil {
			continue
		}
		grant := &g.Grants[0]
		if h := w.handlers[grant.Handler]; h == nil || w.hasSlot(h) {
			now = append(now, w.book(ses, g)...)
		} else { // taken since it began to wait
			w.outcomes = append(w.outcomes, scheduler.Outcome{Task: grant.Internal, Fence: grant.Fence, Kind: scheduler.GiveBack, Number: 1})
		}
		for _, ix := range w.indexes {
			ix.want = ix.want || ix.h == w.handlers[grant.Handler]
		}
	}
	w.mu.Unlock()
	if len(now) > 0 {
		w.dispatch(now)
		goruntime.Gosched() // the task goes out before the claim
	}
}

// book puts grants on the books and returns what is to be sent now. Under w.mu.
func (w *Worker) book(ses *scheduler.Session, g *scheduler.Granted) []*run {
	var now []*run
	for i := range g.Grants {
		grant := &g.Grants[i]
		engine := grant.GrantedAt.UnixMicro()
		if i == 0 {
			w.clock.observe(g.Received, engine-grant.StartIn.Microseconds())
		}
		r := &run{
			grant: *grant, ses: ses, h: w.handlers[grant.Handler], engine: engine,
			start: g.Received.Add(grant.StartIn), notBefore: g.Sent.Add(grant.StartIn),
			notAfter: g.Until,
		}
		if r.h == nil { // the queue has another handler since, or is gone
			w.outcomes = append(w.outcomes, scheduler.Outcome{Task: grant.Internal, Fence: grant.Fence, Kind: scheduler.GiveBack, Number: 1})
			continue
		}
		w.runs[grant.Fence] = r
		switch {
		case grant.StartIn > 0:
			r.notAfter = r.start.Add(lateAfter)
			r.takeSlot()
			if w.lineUp(r) {
				now = append(now, r)
			}
		case w.hasSlot(r.h):
			r.takeSlot()
			now = append(now, r)
		default:
			w.wait(r)
		}
	}
	return now
}

// waits tells whether another index is to be asked that shares its slots with this one: what
// were taken ahead here would have each slot that becomes free. Under w.mu.
func (w *Worker) waits(ix *index, now time.Time) bool {
	for _, o := range w.indexes {
		if o != ix && (o.want || !o.at.IsZero() && !o.at.After(now)) && o.h.isUp() && (o.h == ix.h || w.free <= 0) {
			return true
		}
	}
	return false
}
