package runtime

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/scheduler"
)

// tickEvery is the most between two ticks; a short lease is renewed four times.
const tickEvery = time.Second

// serve works under one lease until ctx ends and everything is drained (nil), or the
// lease is lost (scheduler.ErrLeaseLost).
func (w *Worker) serve(ctx context.Context, ses *scheduler.Session) error {
	under, end := context.WithCancel(context.Background())
	defer end()
	w.mu.Lock()
	w.ses, w.handed, w.behind = ses, nil, false
	w.mu.Unlock()
	w.listen(under, ses)
	lost := make(chan struct{})
	ticking := make(chan struct{})
	go func() {
		defer close(ticking)
		w.tick(under, ses, lost)
	}()
	w.log.Info("worker serves", "worker", ses.ID())
	if w.o.Ready != nil {
		w.o.Ready(ses.ID())
		w.o.Ready = nil
	}
	exchanging, stop := context.WithCancel(context.Background())
	defer stop()
	var err error
	done := make(chan struct{}) // the exchange has ended, with err
	go func() {
		defer close(done)
		err = w.exchange(exchanging, ses, lost)
	}()
	select {
	case <-done:
		return err
	case <-ctx.Done():
	}
	w.drain(ses, done)
	stop()
	if <-done; err != nil {
		return err
	}
	end()
	<-ticking // a renewal after the leave would bring the lease back
	leave, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	if err := ses.Leave(leave); err != nil {
		w.log.Warn("lease not ended; its tasks are taken back when it runs out", "error", err)
	}
	w.log.Info("worker left", "worker", ses.ID())
	return nil
}

// listen takes signals, and tries again until the subscription stands.
func (w *Worker) listen(ctx context.Context, ses *scheduler.Session) {
	f := func(s scheduler.Signal) {
		switch {
		case s.Stop != "":
			w.stop(s.Stop)
		case s.Handed != nil:
			w.mu.Lock()
			if w.ses == ses {
				w.handed = append(w.handed, s.Handed)
			}
			w.mu.Unlock()
			w.signal()
		case s.Tick:
			w.tickSoon()
		default:
			w.wantAll()
		}
	}
	err := ses.Listen(ctx, f)
	if err == nil {
		return
	}
	w.log.Warn("no signals from redis yet; work is found within a second", "error", err)
	go func() {
		for ctx.Err() == nil && ses.Listen(ctx, f) != nil {
			select {
			case <-ctx.Done():
			case <-time.After(tickEvery):
			}
		}
	}()
}

func (w *Worker) wantAll() {
	w.mu.Lock()
	for _, ix := range w.indexes {
		ix.want = true
	}
	w.mu.Unlock()
	w.signal()
}

// fetch makes a claim that gives what was handed over unheard, and then those that were to
// follow: who did not hear of the one may not hear of the next.
func (w *Worker) fetch() {
	w.mu.Lock()
	w.behind = true
	w.mu.Unlock()
	w.wantAll()
}

// tickSoon makes the next tick come at once.
func (w *Worker) tickSoon() {
	select {
	case w.soon <- struct{}{}:
	default:
	}
}

// tick renews the lease each second. It closes lost when the lease is gone, or when
// Redis answers but does not renew it while it runs out: then the handlers must stop
// before somebody else runs their tasks.
func (w *Worker) tick(ctx context.Context, ses *scheduler.Session, lost chan<- struct{}) {
	renewed := time.Now()
	failing := false
	unread := ""
	var said announcer
	var told teller
	var stray strays
	t := time.NewTicker(min(tickEvery, w.o.Lease/4))
	defer t.Stop()
	w.tickSoon() // so that no gap between ticks looks like an outage
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-w.soon:
		}
		asked := time.Now()
		call, cancel := context.WithTimeout(ctx, min(callTimeout, w.o.Lease/2))
		beat, err := ses.Tick(call, w.slots())
		cancel()
		var away *scheduler.UnreachableError
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, scheduler.ErrLeaseLost),
			err != nil && !errors.As(err, &away) && time.Since(renewed) > max(w.o.Lease-2*tickEvery, w.o.Lease/2):
			close(lost)
			return
		case err != nil:
			if !failing {
				w.log.Error("lease not renewed", "error", err)
			}
			failing = true
			continue
		}
		if failing {
			w.log.Info("lease renewed again", "after", time.Since(renewed).Round(time.Millisecond))
		}
		failing, renewed = false, asked
		if beat.Reaped > 0 {
			w.log.Warn("tasks taken back from a dead worker", "count", beat.Reaped)
		}
		if beat.More {
			w.tickSoon()
		}
		for _, id := range beat.Stops {
			w.stop(id)
		}
		if beat.Claim {
			w.wantAll()
		}
		if beat.Behind {
			w.fetch()
		}
		if err := stray.look(ctx, w, ses, beat.Leases); err != nil {
			w.log.Warn("leases not read", "error", err)
		}
		err = w.findIndexes(ctx, ses)
		text := fmt.Sprint(err)
		if err != nil && text != unread { // each error is told once, not each second
			w.log.Warn("queues not read", "error", err)
		}
		unread = text
		w.restartPlugins(ctx, beat.Restarts)
		if err := said.announce(ctx, w, ses); err != nil {
			w.log.Warn("state of the handlers and hash of the configuration not announced", "error", err)
		}
		if err := told.tell(ctx, w, ses); err != nil {
			w.log.Warn("progress of tasks not told", "error", err)
		}
	}
}

// slots are the free slots of all indexes; none when no more is to be claimed.
func (w *Worker) slots() []scheduler.Slots {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]scheduler.Slots, 0, len(w.indexes))
	for _, ix := range w.indexes {
		free := min(ix.h.slots-ix.h.busy, w.free)
		if !ix.h.isUp() || w.closing {
			free = 0
		}
		out = append(out, scheduler.Slots{Index: ix.name, Free: free})
	}
	return out
}

// drain waits until nothing runs. At the drain timeout, or a hurry, it cancels what is
// left; what ignores that is killed, and given back by Leave. It returns early when the
// lease is lost, which ends the exchange.
func (w *Worker) drain(ses *scheduler.Session, exchange <-chan struct{}) {
	w.mu.Lock()
	w.closing = true
	w.mu.Unlock()
	call, cancel := context.WithTimeout(context.Background(), callTimeout)
	behind, err := ses.Quiet(call)
	cancel()
	if err != nil {
		w.log.Warn("worker may still be woken", "error", err)
	}
	if behind { // what was handed over before still starts
		w.fetch()
	}
	quiet := make(chan struct{})
	w.mu.Lock()
	w.quiet = quiet
	w.checkQuiet()
	w.mu.Unlock()
	w.log.Info("draining", "running", w.running())
	if waitFor(quiet, exchange, w.o.DrainTimeout, w.o.Hurry) {
		return
	}
	w.log.Warn("drain timeout: handlers are cancelled", "running", w.running())
	w.mu.Lock()
	for _, r := range w.runs {
		w.cancelRun(r, pluginapi.ErrDraining) // one that waits for its instant is given back then
	}
	w.mu.Unlock()
	grace := killAfter
	select {
	case <-w.o.Hurry:
		grace = time.Second
	default:
	}
	if waitFor(quiet, exchange, grace, nil) {
		return
	}
	w.mu.Lock()
	for _, h := range w.handlers {
		for _, p := range h.places {
			p.process.Kill()
		}
	}
	w.mu.Unlock()
	if !waitFor(quiet, exchange, time.Second, nil) {
		w.log.Error("tasks are left behind", "running", w.running())
	}
}

// waitFor tells whether one of two things came to pass before the time was up or
// somebody hurried.
func waitFor(a, b <-chan struct{}, limit time.Duration, hurry <-chan struct{}) bool {
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-a:
	case <-b:
	case <-t.C:
	case <-hurry:
	}
	for _, done := range []<-chan struct{}{a, b} {
		select {
		case <-done:
			return true
		default:
		}
	}
	return false
}

func (w *Worker) running() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.runs)
}
