package runtime

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/pluginapi/alarm"
	"github.com/throttlerd/throttlerd/runtime/pluginhost"
	"github.com/throttlerd/throttlerd/scheduler"
)

// Handler says what runs the tasks of the queues that name it: Go, or else Plugin.
type Handler struct {
	Go          pluginapi.Handler
	Plugin      pluginhost.Spec
	Instances   int // processes of the plugin in this worker; 1 when 0
	Concurrency int // tasks at once in this worker, over all instances; 64 when 0
	MaxCrashes  int // deaths of its plugin that a task may have a part in; 3 when 0
}

// Options of a Worker.
type Options struct {
	Client       *scheduler.Client
	Handlers     map[string]Handler
	Pools        []string      // "default" when empty; "*" is every pool
	Queues       []string      // when not empty, serve only these, whatever their pools
	Concurrency  int           // tasks at once over all handlers; 256 when 0
	Lease        time.Duration // 10s when 0
	Lookahead    time.Duration // how far ahead tokens are reserved; negative: none; 50ms when 0
	DrainTimeout time.Duration // 30s when 0
	Hurry        <-chan struct{}
	Version      string
	ConfigHash   string
	Log          hclog.Logger

	// Start is called once, when the handlers are up and before the first claim.
	Start func(ctx context.Context) error
	// Ready is called once, when the worker claims.
	Ready func(worker string)
}

// Worker claims, starts and settles tasks until its context ends.
type Worker struct {
	o        Options
	log      hclog.Logger
	host     string
	handlers map[string]*handler
	starter  *alarm.Line[*run] // of those whose starts lie ahead
	clock    engineClock
	kick     chan struct{} // the exchange loop has something to do
	soon     chan struct{} // the next tick is due
	placed   chan struct{} // a run was sent to a place

	mu        sync.Mutex
	ses       *scheduler.Session // nil between two leases
	runs      map[int64]*run
	outcomes  []scheduler.Outcome
	handed    []*scheduler.Handed // not taken yet
	indexes   []*index
	announced *scheduler.Session // the one that told of the indexes
	hash      string             // of the configuration, as it is announced
	free      int                // slots over all handlers
	trip      time.Duration      // that an exchange takes, of late
	minding   bool               // minds what waits for a slot
	closing   bool               // no more claims
	claiming  bool               // one is under way, or waits to be asked again
	behind    bool               // any claim will give what was handed over unheard
	quiet     chan struct{}      // closed when no run is left; nil unless a drain waits for it
}

// handler is one handler of the worker. Its fields are guarded by Worker.mu.
type handler struct {
	name       string
	w          *Worker
	backend    backend
	slots      int
	maxCrashes int
	busy       int      // slots that are taken
	ready      []*run   // may start at once, without a slot yet, in order; some are gone
	ahead      int      // of ready: those that are not
	pace       pace     // of late
	places     []*place // its processes, those that retire too
	suspects   []*run   // have a slot, and wait until another one has ended
	restart    restart  // as somebody asked for it
}

// index is one due index that the worker claims from. Guarded by Worker.mu.
type index struct {
	name string // pool:handler, or pool:handler=queue
	h    *handler
	want bool      // claim as soon as a slot is free
	more bool      // and tasks ahead of the slots
	at   time.Time // claim then; zero: when told
}

// run is one leased task.
type run struct {
	grant    scheduler.Grant
	h        *handler
	ses      *scheduler.Session
	start    time.Time // by this machine's clock
	reserved bool      // its start lay ahead when it was granted
	engine   int64     // the same by engine time, µs
	// notBefore is a local instant that the engine instant is not before, notAfter the last
	// at which it may begin in its plugin.
	notBefore, notAfter time.Time

	slot    bool      // it has one, else it waits for one
	place   *place    // it was sent there; nil: it was not sent
	bounded bool      // and told when it may begin
	ends    time.Time // deadline, once sent
	cause   error     // why it is being cancelled
	ignored time.Time // when it is taken to have ignored its cancellation

	progress *scheduler.Progress // the last that it told
}

// New checks the options and returns a worker that does nothing yet.
func New(o Options) (*Worker, error) {
	if o.Client == nil || len(o.Handlers) == 0 {
		return nil, errors.New("a worker needs a client and at least one handler")
	}
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&o.Lease, 10*time.Second)
	def(&o.Lookahead, 50*time.Millisecond)
	def(&o.DrainTimeout, 30*time.Second)
	o.Lookahead = max(0, o.Lookahead)
	if o.Concurrency <= 0 {
		o.Concurrency = 256
	}
	if len(o.Pools) == 0 {
		o.Pools = []string{scheduler.DefaultPool}
	}
	if o.Log == nil {
		o.Log = hclog.NewNullLogger()
	}
	host, _ := os.Hostname()
	w := &Worker{
		o: o, log: o.Log, host: host, handlers: make(map[string]*handler), kick: make(chan struct{}, 1), soon: make(chan struct{}, 1), placed: make(chan struct{}, 1),
		runs: make(map[int64]*run), free: o.Concurrency, hash: o.ConfigHash,
	}
	for name, spec := range o.Handlers {
		if err := scheduler.CheckName("handler", name); err != nil {
			return nil, err
		}
		h := &handler{name: name, w: w, slots: spec.Concurrency, maxCrashes: spec.MaxCrashes}
		if h.maxCrashes <= 0 {
			h.maxCrashes = 3
		}
		if h.slots <= 0 {
			h.slots = 64
		}
		h.slots = min(h.slots, o.Concurrency) // more are never free
		if spec.Go != nil {
			h.backend = newGoBackend(spec.Go, o.Log.Named(name))
		} else {
			h.backend = newPluginBackend(spec.Plugin, spec.Instances, o.Log.Named(name))
		}
		w.handlers[name] = h
	}
	return w, nil
}

// Run serves until ctx ends, then drains: reserved tasks still start, running ones
// finish, and what has not finished in the drain timeout is cancelled and goes back to
// the front of its queue, uncharged. It returns an error when it could not start.
func (w *Worker) Run(ctx context.Context) error {
	w.starter = alarm.NewLine(w.dispatch)
	defer w.starter.Close()
	defer w.stopBackends()
	if err := w.startBackends(ctx); err != nil {
		return err
	}
	if w.o.Start != nil {
		if err := w.o.Start(ctx); err != nil {
			return err
		}
	}
	watching, stopWatching := context.WithCancel(context.Background())
	defer stopWatching()
	go w.watch(watching)
	lost := false
	for {
		ses, err := w.register(ctx, lost)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		err = w.serve(ctx, ses)
		if !errors.Is(err, scheduler.ErrLeaseLost) {
			return err
		}
		w.log.Error("lease lost: handlers are stopped and the worker starts afresh", "worker", ses.ID())
		w.abandon()
		lost = true
		if ctx.Err() != nil {
			return nil
		}
	}
}

// HandlerError says that a handler could not be made ready.
type HandlerError struct {
	Handler string
	Err     error
}

func (e *HandlerError) Error() string { return fmt.Sprintf("handler %q: %s", e.Handler, e.Err) }
func (e *HandlerError) Unwrap() error { return e.Err }

// Swap replaces a handler that is a Go value, also while the worker runs: tasks that
// have started end with the old one, all others get the new one.
func (w *Worker) Swap(name string, h pluginapi.Handler) error {
	x := w.handlers[name]
	if x == nil {
		return fmt.Errorf("no handler %q in this worker", name)
	}
	b, ok := x.backend.(*goBackend)
	if !ok {
		return fmt.Errorf("handler %q is a plugin, not a Go value", name)
	}
	b.handler.Store(&h)
	return nil
}

func (w *Worker) startBackends(ctx context.Context) error {
	errs := make(chan error, len(w.handlers))
	for _, h := range w.handlers {
		go func() {
			err := h.backend.start(ctx, h)
			if err != nil {
				err = &HandlerError{Handler: h.name, Err: err}
			}
			errs <- err
		}()
	}
	var all error
	for range w.handlers {
		all = errors.Join(all, <-errs)
	}
	return all
}

func (w *Worker) stopBackends() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for _, h := range w.handlers {
		wg.Go(func() { h.backend.stop(ctx) })
	}
	wg.Wait()
}

// register takes a lease under a new name, and waits for Redis as long as it must;
// again, after a lease was lost, whatever Redis says: handlers are up and can wait.
func (w *Worker) register(ctx context.Context, again bool) (*scheduler.Session, error) {
	slots := make(map[string]int)
	for name, h := range w.handlers {
		slots[name] = h.slots
	}
	w.mu.Lock()
	hash := w.hash
	w.mu.Unlock()
	me := scheduler.Worker{
		Host: w.host, PID: os.Getpid(), Slots: slots, Lease: w.o.Lease, Version: w.o.Version,
		ConfigHash: hash, Started: time.Now(), Pools: w.o.Pools, Queues: w.o.Queues,
	}
	for try := 0; ; try++ {
		me.ID = w.newID() // a name that an earlier try may have used has a lease that runs out
		ses, err := w.tryRegister(ctx, me, again)
		var away *scheduler.UnreachableError
		if err == nil || !again && !errors.As(err, &away) {
			return ses, err
		}
		if try == 0 {
			w.log.Warn("no lease yet; trying until there is one", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// newID names the worker for one lease.
func (w *Worker) newID() string {
	var nonce [3]byte
	_, _ = rand.Read(nonce[:]) // never fails
	return fmt.Sprintf("%s-%d-%s", plainName(w.host), os.Getpid(), hex.EncodeToString(nonce[:]))
}

// tryRegister leaves no lease behind when it fails. Again, a lease is kept: the next tick
// looks for the queues.
func (w *Worker) tryRegister(ctx context.Context, me scheduler.Worker, again bool) (*scheduler.Session, error) {
	if !again {
		if err := w.checkQueues(ctx); err != nil {
			return nil, err
		}
	}
	ses, err := w.o.Client.Register(ctx, me)
	if err != nil {
		return nil, err
	}
	if err = w.findIndexes(ctx, ses); err == nil || again {
		return ses, nil
	}
	leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	_ = ses.Leave(leave) // else the lease runs out
	return nil, err
}

// checkQueues refuses queues that cannot be served, and names one that may be meant.
func (w *Worker) checkQueues(ctx context.Context) error {
	for _, name := range w.o.Queues {
		q, err := w.o.Client.Queue(ctx, name)
		if err != nil {
			return err
		}
		if err := w.servable(q); err != nil {
			return err
		}
	}
	return nil
}

func (w *Worker) servable(q scheduler.Queue) error {
	if w.handlers[q.Handler] != nil {
		return nil
	}
	return &scheduler.InvalidError{What: "queue", Reason: fmt.Sprintf("%q is for handler %q, which this worker does not have", q.Name, q.Handler)}
}

// findIndexes brings the indexes to the pools and queues asked for; "*" is every pool
// that queues name. A queue that cannot be served is an error, behind which the others are.
func (w *Worker) findIndexes(ctx context.Context, ses *scheduler.Session) error {
	pools, names, unserved, err := w.wanted(ctx, ses)
	if err != nil {
		return err
	}
	w.mu.Lock()
	changed := len(names) != len(w.indexes)
	for i := 0; i < len(names) && !changed; i++ {
		changed = names[i] != w.indexes[i].name
	}
	if changed {
		w.indexes = nil
		for _, name := range names {
			_, rest, _ := strings.Cut(name, ":")
			handler, _, _ := strings.Cut(rest, "=")
			w.indexes = append(w.indexes, &index{name: name, h: w.handlers[handler], want: true})
		}
		w.announced = nil
	}
	known := w.announced == ses
	for _, ix := range w.indexes {
		ix.want = ix.want || !known
	}
	w.mu.Unlock()
	if known {
		return unserved
	}
	w.signal()
	if err := ses.Announce(ctx, func(me *scheduler.Worker) { me.Pools, me.Indexes = pools, names }); err != nil {
		return err
	}
	w.mu.Lock()
	w.announced = ses
	w.mu.Unlock()
	return unserved
}

// wanted are the pools and, sorted, the indexes to claim from; unserved says which of the
// queues asked for cannot be served now.
func (w *Worker) wanted(ctx context.Context, ses *scheduler.Session) (pools, indexes []string, unserved, err error) {
	switch {
	case len(w.o.Queues) > 0:
		queues, err := w.o.Client.QueuesByName(ctx, w.o.Queues...)
		if err != nil {
			return nil, nil, nil, err
		}
		for _, name := range w.o.Queues {
			var index string
			var missing error = &scheduler.NotFoundError{Kind: "queue", Name: name, Namespace: w.o.Client.Namespace()}
			if at := slices.IndexFunc(queues, func(q scheduler.Queue) bool { return q.Name == name }); at >= 0 {
				q := queues[at]
				index, missing = q.Pool+":"+q.Handler+"="+name, w.servable(q)
			}
			if missing != nil {
				unserved = errors.Join(unserved, missing)
				if index = w.lastIndex(name); index == "" {
					continue // else it may come back, and is asked for meanwhile
				}
			}
			pool, _, _ := strings.Cut(index, ":")
			pools, indexes = append(pools, pool), append(indexes, index)
		}
	case slices.Contains(w.o.Pools, "*"):
		all, err := ses.Indexes(ctx)
		if err != nil {
			return nil, nil, nil, err
		}
		for _, ix := range all {
			pool, handler, _ := strings.Cut(ix, ":")
			pools = append(pools, pool)
			if w.handlers[handler] != nil {
				indexes = append(indexes, ix)
			}
		}
	default:
		pools = slices.Clone(w.o.Pools)
		for _, p := range pools {
			for name := range w.handlers {
				indexes = append(indexes, p+":"+name)
			}
		}
	}
	sort.Strings(pools)
	sort.Strings(indexes)
	return slices.Compact(pools), slices.Compact(indexes), unserved, nil
}

// lastIndex returns the index in which a queue was served, "" when it was not.
func (w *Worker) lastIndex(queue string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, ix := range w.indexes {
		if strings.HasSuffix(ix.name, "="+queue) {
			return ix.name
		}
	}
	return ""
}

// abandon forgets a lost lease: what it held is no longer ours. Handlers are told, and
// hold their slots until they are gone.
func (w *Worker) abandon() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ses = nil
	w.outcomes = nil
	for _, r := range w.runs {
		if r.place == nil {
			w.drop(r) // the starter finds it gone
			continue
		}
		w.cancelRun(r, pluginapi.ErrLeaseLost)
	}
}

// plainName makes a host's name fit for a worker's id.
func plainName(host string) string {
	host, _, _ = strings.Cut(host, ".")
	s := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '-'
	}, strings.ToLower(host))
	if s == "" {
		s = "worker"
	}
	return s[:min(len(s), 32)]
}

// signal makes the exchange loop look.
func (w *Worker) signal() {
	select {
	case w.kick <- struct{}{}:
	default:
	}
}
