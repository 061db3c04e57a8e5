package pluginhost

import (
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/pluginapi/handlerpb"
)

type (
	outStream = grpc.BidiStreamingClient[handlerpb.ToPlugin, handlerpb.FromPlugin]
	inStream  interface {
		Recv() (*handlerpb.FromPlugin, error)
	}
)

// outbox is what waits to be sent to the plugin. Whatever comes in while one
// message is under way goes out in the next; nothing waits for a batch to fill.
type outbox struct {
	stream outStream
	sent   chan struct{} // closed when send has returned

	mu      sync.Mutex
	tasks   []Sending
	cancels []*handlerpb.Cancel
	last    bool // a drain was asked for
	closed  bool // nobody reads any more
	wake    chan struct{}
}

// Sending is a task for a plugin, and the time in which its run may begin. A run that may not
// begin any more, or is cancelled before it does, ends with pluginapi.NotStarted. The
// bounds count where the process [Process.StartsAt] them.
type Sending struct {
	Task      *pluginapi.Task
	NotBefore time.Time // at most handlerpb.MaxEarly ahead; zero: at once
	NotAfter  time.Time // zero: no bound
}

func newOutbox(stream outStream) *outbox {
	return &outbox{stream: stream, sent: make(chan struct{}), wake: make(chan struct{}, 1)}
}

func (o *outbox) addTasks(tasks []Sending) {
	o.add(func() { o.tasks = append(o.tasks, tasks...) })
}

func (o *outbox) addCancel(run int64, cause error) {
	c := &handlerpb.Cancel{Run: run, Reason: pluginapi.CancelReason(cause)}
	o.add(func() { o.cancels = append(o.cancels, c) })
}

func (o *outbox) drain() { o.add(func() { o.last = true }) }
func (o *outbox) close() { o.add(func() { o.closed = true }) }

func (o *outbox) draining() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.last
}

func (o *outbox) add(change func()) {
	o.mu.Lock()
	change()
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// send sends until the outbox is closed or the stream is broken, which the
// receiver sees too. After a drain it stays to pass on cancellations.
func (o *outbox) send() {
	defer close(o.sent)
	drained := false
	for range o.wake {
		o.mu.Lock()
		tasks, cancels, last, closed := o.tasks, o.cancels, o.last, o.closed
		o.tasks, o.cancels = nil, nil
		o.mu.Unlock()
		if closed {
			return
		}
		for first := true; len(tasks) > 0 || (first && (len(cancels) > 0 || last != drained)); first = false {
			n := batchLen(tasks)
			message := &handlerpb.ToPlugin{Tasks: encodeTasks(tasks[:n])}
			if tasks = tasks[n:]; len(tasks) == 0 {
				message.Cancels, message.Drain = cancels, last
				cancels, drained = nil, last
			}
			if o.stream.Send(message) != nil {
				return
			}
		}
	}
}

func encodeTasks(tasks []Sending) []*handlerpb.Task {
	encoded := make([]*handlerpb.Task, len(tasks))
	for i, t := range tasks {
		encoded[i] = pluginapi.EncodeTask(t.Task, t.NotBefore, t.NotAfter)
	}
	return encoded
}

// batchLen returns how many of the tasks fit in one message; at least one, if
// there is one.
func batchLen(tasks []Sending) int {
	const overhead = 256 // names, numbers and field headers of one task
	size := 0
	for i, t := range tasks {
		size += len(t.Task.Payload) + overhead
		for name, value := range t.Task.Headers {
			size += len(name) + len(value)
		}
		if i > 0 && (size > handlerpb.MaxBatch || i == handlerpb.MaxBatchItems) {
			return i
		}
	}
	return len(tasks)
}
