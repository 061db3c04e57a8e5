// Package plugintest runs a Handler over the real wire, in the process of the
// test: config and task, outcome, progress and result cross gRPC as they do between
// throttlerd and a plugin process. It needs no throttlerd and no Redis.
//
// It keeps no clock of its own: in a bubble of testing/synctest, deadlines, sleeps and
// timers of the handler run on the bubble's clock, and a test of an hour takes no time.
package plugintest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/pluginapi/handlerpb"
)

// Ended is how a run ended, as throttlerd is told.
type Ended = pluginapi.Result

// Result is all that came of a run.
type Result struct {
	Ended

	// Progress is what the handler told by Task.Progress, in that order; of what it
	// told within 100 ms, the last.
	Progress []pluginapi.Progress

	t testing.TB
}

// Want fails the test unless the run ended so, with text in its result or its error.
func (r Result) Want(outcome pluginapi.Outcome, text string) {
	r.t.Helper()
	if r.Outcome != outcome || !strings.Contains(string(r.Result)+r.Err, text) {
		r.t.Errorf("outcome %s: %s%s, want %s with %q in it", r.Outcome, r.Result, r.Err, outcome, text)
	}
}

// Decode reads the result, which must be JSON, into a value.
func (r Result) Decode(into any) {
	r.t.Helper()
	if err := json.Unmarshal(r.Result, into); err != nil {
		r.t.Fatalf("plugintest: outcome %s: result %q: %v", r.Outcome, r.Result, err)
	}
}

// Run configures h, gives it one task and returns how the run ended. A refused config
// fails the test.
//
// config is the handler's config block: nil, the text of a JSON object (string,
// []byte or json.RawMessage), or a value that encodes to one. Of the task, ID,
// Queue, Attempt and Fence are filled in when they are zero; its Deadline
// bounds the run. Lines written to its Log go to the test's log.
func Run(t testing.TB, h pluginapi.Handler, config any, task pluginapi.Task) Result {
	t.Helper()
	return Start(t, h, config, task).Result()
}

// Running is a run that is under way.
type Running struct {
	t      testing.TB
	stream handlerpb.Handler_RunClient
	fence  int64
}

// Start is Run for a test that does something while the task runs.
func Start(t testing.TB, h pluginapi.Handler, config any, task pluginapi.Task) *Running {
	t.Helper()
	client := serve(t, h)
	if err := configure(t, client, config); err != nil {
		t.Fatalf("plugintest: config refused: %v", err)
	}
	fill(&task)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	stream, err := client.Run(ctx)
	if err != nil {
		t.Fatalf("plugintest: open the stream of tasks: %v", err)
	}
	r := &Running{t, stream, task.Fence}
	r.send(&handlerpb.ToPlugin{Tasks: []*handlerpb.Task{pluginapi.EncodeTask(&task, time.Time{}, time.Time{})}})
	return r
}

// Cancel ends the context of the run with the cause, one of pluginapi's errors
// (ErrTaskCancelled, ErrDraining, ErrLeaseLost, ErrTimeout).
func (r *Running) Cancel(cause error) {
	r.t.Helper()
	r.send(&handlerpb.ToPlugin{Cancels: []*handlerpb.Cancel{{Run: r.fence, Reason: pluginapi.CancelReason(cause)}}})
}

// Result waits for the end of the run.
func (r *Running) Result() Result {
	r.t.Helper()
	result := Result{t: r.t}
	for result.Outcome == 0 {
		batch, err := r.stream.Recv()
		if err != nil {
			r.t.Fatalf("plugintest: run task: %v", err)
		}
		result.Progress = append(result.Progress, pluginapi.DecodeProgress(batch.Progress)...)
		for _, one := range batch.Results {
			result.Ended = pluginapi.DecodeResult(one)
		}
	}
	r.send(&handlerpb.ToPlugin{Drain: true})
	if batch, err := r.stream.Recv(); !errors.Is(err, io.EOF) {
		r.t.Fatalf("plugintest: after the only result came %v, %v", batch, err)
	}
	return result
}

func (r *Running) send(message *handlerpb.ToPlugin) {
	r.t.Helper()
	if err := r.stream.Send(message); err != nil {
		r.t.Fatalf("plugintest: run task: %v", err)
	}
}

// Configure gives h its config block, as in Run, and returns what h has against
// it: joined *pluginapi.AttributeErrors, or nil. An error about the block as a
// whole has no attribute.
func Configure(t testing.TB, h pluginapi.Handler, config any) error {
	t.Helper()
	return configure(t, serve(t, h), config)
}

func fill(task *pluginapi.Task) {
	if task.ID == "" {
		task.ID = "test"
	}
	if task.Queue == "" {
		task.Queue = "test"
	}
	task.Attempt = max(task.Attempt, 1)
	if task.Fence == 0 {
		task.Fence = 1
	}
}

// serve serves h until the end of the test.
func serve(t testing.TB, h pluginapi.Handler) handlerpb.HandlerClient {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer(pluginapi.ServerOptions()...)
	pluginapi.Register(server, h, hclog.New(&hclog.LoggerOptions{Output: testWriter{t}, Level: hclog.Trace, DisableTime: true}))
	served := make(chan struct{})
	go func() {
		defer close(served)
		server.Serve(listener)
	}()
	conn, err := grpc.NewClient("passthrough:///plugintest",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(handlerpb.MaxMessage)))
	if err != nil {
		t.Fatalf("plugintest: %v", err)
	}
	t.Cleanup(func() {
		conn.Close()
		server.Stop()
		<-served
	})
	return handlerpb.NewHandlerClient(conn)
}

func configure(t testing.TB, client handlerpb.HandlerClient, config any) error {
	t.Helper()
	object, err := configJSON(config)
	if err != nil {
		t.Fatalf("plugintest: config: %v", err)
	}
	described, err := client.Describe(context.Background(), &handlerpb.DescribeRequest{})
	if err != nil {
		t.Fatalf("plugintest: describe: %v", err)
	}
	if schema := pluginapi.DecodeInfo(described).Config; schema != nil { // as throttlerd does
		c, err := pluginapi.NewConfig(object)
		if err != nil {
			t.Fatalf("plugintest: config: %v", err)
		}
		if err := pluginapi.CheckConfig(schema, c); err != nil {
			return err
		}
	}
	response, err := client.Configure(context.Background(), &handlerpb.ConfigureRequest{Config: object})
	if err != nil {
		t.Fatalf("plugintest: configure: %v", err)
	}
	var errs []error
	for _, e := range response.Errors {
		errs = append(errs, pluginapi.BadAttribute(e.Attribute, e.Message))
	}
	return errors.Join(errs...)
}

func configJSON(config any) ([]byte, error) {
	switch c := config.(type) {
	case nil:
		return nil, nil
	case string:
		return []byte(c), nil
	case []byte:
		return c, nil
	}
	return json.Marshal(config)
}

// testWriter writes log lines to the log of a test.
type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", p)
	return len(p), nil
}
