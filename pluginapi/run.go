package pluginapi

import (
	"context"
	"runtime"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/throttlerd/throttlerd/pluginapi/alarm"
	"github.com/throttlerd/throttlerd/pluginapi/handlerpb"
)

type runStream = grpc.BidiStreamingServer[handlerpb.ToPlugin, handlerpb.FromPlugin]

// run is one task in the works; one allocation holds all that it needs.
type run struct {
	task     Task
	instant  time.Time     // not before; zero: at once
	notAfter time.Time     // zero: no bound
	refused  bool          // it came long before its instant
	after    chan struct{} // closed when the run that is due before has begun; nil: none
	begun    chan struct{} // closed when this one has; nil: it did not wait itself
	ctx      taskContext
	log      taskLogger
	feedback feedback
}

// session is one Run stream: it gives tasks to goroutines and sends their results in
// batches. Whatever finished while one Send was under way goes out in the next; nothing
// waits for a batch to fill.
type session struct {
	server *server
	stream runStream

	running sync.WaitGroup

	mu      sync.Mutex
	runs    map[int64]*run
	results []*handlerpb.Result
	pace    time.Duration // how long runs take, averaged over the last few
	closed  bool          // no run follows, and no result
	wake    chan struct{} // there is something to send

	// due and ready are the runs that a goroutine is to take, in order: those whose instants
	// have come, and before the others. One that takes a run has another one come for the
	// next: of many short ones it takes most itself, and behind one that lasts none has to
	// wait.
	due     []*run
	ready   []*run
	free    sync.Cond // goroutines that have nothing to do wait here
	waiting int       // so many
	coming  bool      // one was called and has not taken a run yet

	line  *alarm.Line[*run] // of those that wait for their instants; nil until one does
	begun chan struct{}     // closed when the last that had waited has begun; nil: none had

	progress progressList
	tell     func(Progress) // told, made once for all runs
}

// Run serves one stream until the host drains or goes away. Then it waits for
// the running tasks, sends what they gave and ends the stream.
func (s *server) Run(stream runStream) error {
	s.mu.Lock()
	s.streams++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.streams--
		s.mu.Unlock()
	}()
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(stream.Context()))
	defer cancel(nil)
	// When the host is gone, nobody here holds the tasks any more.
	stop := context.AfterFunc(stream.Context(), func() { cancel(ErrLeaseLost) })
	defer stop()

	ses := &session{
		server: s,
		stream: stream,
		runs:   make(map[int64]*run),
		wake:   make(chan struct{}, 1),
	}
	ses.free.L = &ses.mu
	ses.tell = ses.told
	sent := make(chan error, 1)
	go func() { sent <- ses.sendResults() }()

	last := make(chan struct{})
	go ses.receive(ctx, last)
	<-last
	ses.running.Wait()
	if ses.line != nil {
		ses.line.Close()
	}
	ses.close()
	return <-sent
}

// receive takes tasks until the host says that no more come, and closes last.
// Cancellations are still heard after that, until the stream ends.
func (ses *session) receive(ctx context.Context, last chan<- struct{}) {
	draining := false
	for {
		batch, err := ses.stream.Recv()
		if err != nil {
			break
		}
		if !draining {
			ses.start(ctx, batch.Tasks)
		}
		for _, c := range batch.Cancels {
			ses.cancel(c.Run, causes[c.Reason])
		}
		if batch.Drain && !draining {
			draining = true
			close(last)
		}
	}
	if !draining {
		close(last)
	}
}

func (ses *session) start(ctx context.Context, tasks []*handlerpb.Task) {
	arrived := time.Now()
	starting := make([]*run, len(tasks))
	for i, w := range tasks {
		r := &run{}
		decodeTask(&r.task, w, arrived)
		if w.StartMonoNs != 0 {
			r.instant = instantOf(w.StartMonoNs)
		}
		if w.NotAfterMonoNs != 0 {
			r.notAfter = instantOf(w.NotAfterMonoNs)
		}
		r.log.root, r.log.task = ses.server.log, &r.task
		r.task.Log = &r.log
		r.ctx.parent, r.ctx.deadline = ctx, r.task.Deadline
		r.feedback.progress = ses.tell
		starting[i] = r
	}
	ses.running.Add(len(starting))
	ses.mu.Lock()
	for _, r := range starting {
		ses.runs[r.task.Fence] = r
		if r.instant.IsZero() {
			ses.ready = append(ses.ready, r)
		}
	}
	ses.call()
	ses.mu.Unlock()
	for _, r := range starting {
		if !r.instant.IsZero() {
			ses.lineUp(r, arrived)
		}
	}
}

// lineUp has a run wait for its instant; one whose instant has passed goes behind the runs
// that are due before it. It is called from one goroutine.
func (ses *session) lineUp(r *run, arrived time.Time) {
	if r.refused = r.instant.Sub(arrived) > handlerpb.MaxEarly; r.refused {
		ses.launch(r)
		return
	}
	if ses.line == nil {
		ses.line = alarm.NewLine(ses.launchInOrder)
	}
	ses.line.Add(r.instant, 0, r)
}

// launchInOrder begins runs one after the other. It is called from one goroutine.
func (ses *session) launchInOrder(runs []*run) {
	for _, r := range runs {
		r.after, r.begun = ses.begun, make(chan struct{})
		ses.begun = r.begun
		ses.launch(r)
	}
}

// launch gives a run whose instant has come, or that is refused, to a goroutine.
func (ses *session) launch(r *run) {
	ses.mu.Lock()
	ses.due = append(ses.due, r)
	ses.call()
	ses.mu.Unlock()
}

// next takes the run that is first, nil when there is none. Under ses.mu.
func (ses *session) next() *run {
	list := &ses.due
	if len(*list) == 0 {
		list = &ses.ready
	}
	if len(*list) == 0 {
		return nil
	}
	r := (*list)[0]
	(*list)[0], *list = nil, (*list)[1:]
	return r
}

// call has a goroutine come for the next run, if there is one and none is on its way. Under
// ses.mu.
func (ses *session) call() {
	switch {
	case len(ses.due)+len(ses.ready) == 0 || ses.coming:
		return
	case ses.waiting > 0:
		ses.free.Signal()
	default:
		go ses.work()
	}
	ses.coming = true
}

// work executes runs as they come until none follows: the stack of a goroutine that has
// grown to what the handler needs is used again.
func (ses *session) work() {
	ses.mu.Lock()
	for called := true; ; {
		if called {
			ses.coming, called = false, false
		}
		r := ses.next()
		switch {
		case r != nil:
			ses.call()
			ses.mu.Unlock()
			ses.execute(r)
			if !ses.brisk() {
				runtime.Gosched() // who sends its result, or hears of cancellations, has waited long enough
			}
			ses.mu.Lock()
		case ses.closed:
			ses.mu.Unlock()
			return
		default:
			ses.waiting++
			ses.free.Wait()
			ses.waiting--
			called = true
		}
	}
}

func (ses *session) execute(r *run) {
	fence := r.task.Fence // the handler owns the task
	result := Result{Outcome: Failed, Err: "the handler ended its goroutine (runtime.Goexit)"}
	defer func() {
		r.ctx.release()
		result.Run = fence
		result.Actual, result.Reports = r.feedback.close()
		ses.finish(result)
	}()
	if r.after != nil {
		<-r.after
	}
	started := time.Now() // before the next may begin
	if r.begun != nil {
		close(r.begun)
	}
	if r.mustNotStart(started) {
		result = Result{Outcome: NotStarted}
		return
	}
	result = execute(&r.ctx, ses.server.handler, &r.task, &r.feedback, started)
}

// mustNotStart tells whether a run that the host can take back uncharged is to be handed
// back: it came too soon, was called off, or would begin too late.
func (r *run) mustNotStart(now time.Time) bool {
	switch {
	case r.instant.IsZero() && r.notAfter.IsZero():
		return false
	case !r.notAfter.IsZero() && now.After(r.notAfter):
		return true
	}
	return r.refused || r.ctx.calledOff()
}

func (ses *session) finish(result Result) {
	defer ses.running.Done()
	encoded := encodeResult(result)
	ses.mu.Lock()
	delete(ses.runs, result.Run)
	ses.results = append(ses.results, encoded)
	ses.progress.hurry(result.Run)
	ses.pace += (result.Took - ses.pace) / 16
	ses.mu.Unlock()
	ses.signal()
}

func (ses *session) cancel(fence int64, cause error) {
	ses.mu.Lock()
	r := ses.runs[fence]
	ses.mu.Unlock()
	if r != nil {
		r.ctx.end(cause)
	}
}

func (ses *session) close() {
	ses.mu.Lock()
	ses.closed = true
	ses.free.Broadcast()
	ses.mu.Unlock()
	ses.signal()
}

func (ses *session) signal() {
	select {
	case ses.wake <- struct{}{}:
	default:
	}
}

// sendResults sends until the session is closed and everything is out, or the
// stream is broken.
func (ses *session) sendResults() error {
	for range ses.wake {
		if ses.brisk() {
			runtime.Gosched()
		}
		results, progress, closed := ses.take()
		for len(results)+len(progress) > 0 {
			n, m := batchLen(results), min(len(progress), handlerpb.MaxBatchItems)
			if m < len(progress) {
				n = 0 // its result follows
			}
			if err := ses.stream.Send(&handlerpb.FromPlugin{Results: results[:n], Progress: progress[:m]}); err != nil {
				return err
			}
			results, progress = results[n:], progress[m:]
		}
		if closed {
			return nil
		}
	}
	return nil
}

// brisk tells whether runs are so short that the handlers which are ready to
// run may go before the sender. That makes batches of what would be single
// results (163,000 instead of 113,000 tasks/s with 64 in flight on two cores).
// Behind handlers that compute for long, a result would have to wait.
func (ses *session) brisk() bool {
	ses.mu.Lock()
	defer ses.mu.Unlock()
	return ses.pace < 100*time.Microsecond
}

// take returns what is to be sent, and whether nothing follows.
func (ses *session) take() (results []*handlerpb.Result, progress []*handlerpb.Progress, closed bool) {
	ses.mu.Lock()
	defer ses.mu.Unlock()
	results, ses.results = ses.results, nil
	return results, ses.progress.take(time.Now()), ses.closed
}

// batchLen returns how many of the results fit in one message, at least one.
func batchLen(results []*handlerpb.Result) int {
	const overhead = 64 // numbers and field headers of one result, cost or report
	size := 0
	for i, r := range results {
		size += len(r.Result) + len(r.Error) + overhead
		for limit := range r.Actual {
			size += len(limit) + overhead
		}
		for _, report := range r.Reports {
			size += len(report.Limit) + overhead
		}
		if i > 0 && (size > handlerpb.MaxBatch || i == handlerpb.MaxBatchItems) {
			return i
		}
	}
	return len(results)
}

var causes = map[handlerpb.CancelReason]error{
	handlerpb.CancelReason_CANCEL_REASON_UNSPECIFIED:    ErrTaskCancelled,
	handlerpb.CancelReason_CANCEL_REASON_TASK_CANCELLED: ErrTaskCancelled,
	handlerpb.CancelReason_CANCEL_REASON_DRAINING:       ErrDraining,
	handlerpb.CancelReason_CANCEL_REASON_LEASE_LOST:     ErrLeaseLost,
	handlerpb.CancelReason_CANCEL_REASON_TIMEOUT:        ErrTimeout,
}
